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

fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_memory_and_a_machine() {
        assert!(super::pss_bytes() > 100_000);
        let host = super::host();
        assert!(host.cores > 0 && host.memory_bytes > 0 && !host.cpu.is_empty());
    }
}
