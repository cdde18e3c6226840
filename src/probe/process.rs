//! This process as the kernel sees it: memory and descriptors of the generator, and the machine it runs on.

use crate::record::rows::Host;

/// Memory of this process: its proportional set size, so that the sum over processes counts what they share once. Resident bytes where
/// the kernel does not say; 0 where there is no `/proc`.
pub fn pss_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    match kilobytes(&rollup, "Pss:") {
        0 => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            kilobytes(&status, "VmRSS:") * 1024
        }
        kilobytes => kilobytes * 1024,
    }
}

/// Cores, memory and names for the manifest.
pub fn host() -> Host {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| {
        line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    let uname = rustix::system::uname();
    Host {
        os: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
        cpu: model.unwrap_or_else(|| uname.machine().to_string_lossy().into_owned()),
        cores: std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes: kilobytes(&memory, "MemTotal:") * 1024,
    }
}

/// Time of all cores since the machine started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreTime {
    all: u64,
    /// What a hypervisor gave to others while this machine had use for it.
    stolen: u64,
}

impl CoreTime {
    /// `None` where the kernel does not tell.
    pub fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// User, nice, system, idle, iowait, irq, softirq and steal; what follows is in user and nice already (proc_stat(5)).
    fn of(stat: &str) -> Option<Self> {
        let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let ticks: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// Share of the time since `before` that was stolen; `None` when no time has passed.
    pub fn stolen_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|&ticks| ticks > 0)?;
        Some(self.stolen.saturating_sub(before.stolen) as f64 / all as f64)
    }
}

fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::CoreTime;

    #[test]
    fn stolen_time_is_a_share_of_all() {
        let at = |text: &str| CoreTime::of(text);
        let before = at("cpu  100 0 50 800 10 0 20 20 7 0\ncpu0 1 2 3\n").expect("eight figures");
        let after = at("cpu  150 0 60 1200 10 0 20 60 9 0\n").expect("eight figures");
        assert_eq!(after.stolen_since(before), Some(40.0 / 500.0));
        assert_eq!((after.stolen_since(after), before.stolen_since(after)), (None, None));
        assert_eq!((at("cpu  1 2 3\n"), at("intr 5\n")), (None, None));
        assert!(CoreTime::now().is_some(), "this kernel tells");
    }

    #[test]
    fn this_process_has_memory_and_a_machine() {
        assert!(super::pss_bytes() > 100_000);
        let host = super::host();
        assert!(host.cores > 0 && host.memory_bytes > 0 && !host.cpu.is_empty());
    }
}
