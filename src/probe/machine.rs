//! What this machine has of everything a crowd of users needs: descriptors, ports, memory, threads, cores, and the kernel's settings
//! for them. Read once before a run. A fact that the system does not tell (another kernel, a closed `/proc`) is absent, never guessed.

use rustix::process::{Resource, getrlimit};
use schemars::JsonSchema;
use serde::Serialize;

/// What a limit of "none" is read as, and what version 1 of control groups writes for it (a little less than 2^63).
const UNLIMITED: u64 = u64::MAX;
const UNLIMITED_FROM: u64 = 1 << 60;

/// Facts of one machine as one process sees them; a limit that is not there reads `u64::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Machine {
    /// Descriptors of one process: the limit in force, and up to where the process may raise it itself.
    pub descriptors_soft: Option<u64>,
    pub descriptors_hard: Option<u64>,
    /// `fs.nr_open`: no process can have a higher limit.
    pub descriptors_ceiling: Option<u64>,
    /// `fs.file-max`, and how many are in use in all.
    pub open_files_max: Option<u64>,
    pub open_files_used: Option<u64>,
    /// `net.ipv4.ip_local_port_range`, both ends included, and how many of those are reserved.
    pub local_port_first: Option<u16>,
    pub local_port_last: Option<u16>,
    pub local_ports_reserved: Option<u32>,
    /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub tcp_tw_reuse: Option<u64>,
    /// Absent where connections are not tracked.
    pub conntrack_max: Option<u64>,
    pub conntrack_used: Option<u64>,
    /// `MemAvailable`.
    pub memory_available_bytes: Option<u64>,
    /// What the control groups of this process still allow, file caches that can be dropped not counted as used.
    pub memory_cgroup_bytes: Option<u64>,
    /// Cores this process may run on.
    pub cores: Option<u32>,
    /// The quota of the control groups, in cores.
    pub cpu_quota_cores: Option<f64>,
    /// `kernel.threads-max`, and how many there are in all.
    pub threads_max: Option<u64>,
    pub threads_used: Option<u64>,
    /// `ulimit -u`, and how many threads its user has; absent for root, whom the kernel does not hold to it, and where there is none.
    pub user_threads_max: Option<u64>,
    pub user_threads_used: Option<u64>,
    /// Threads and processes the control groups still allow.
    pub pids_free: Option<u64>,
    pub cpu_governor: Option<String>,
    pub clock_source: Option<String>,
    /// How late the kernel may let a timer of this process go off, to save power.
    pub timer_slack_ns: Option<u64>,
}

impl Machine {
    /// This machine, now.
    pub fn read() -> Self {
        let mut machine = Self::read_from(&|path| std::fs::read_to_string(path).ok());
        let limit = getrlimit(Resource::Nofile);
        machine.descriptors_soft = Some(limit.current.unwrap_or(UNLIMITED));
        machine.descriptors_hard = Some(limit.maximum.unwrap_or(UNLIMITED));
        let cores = std::thread::available_parallelism().ok();
        machine.cores = cores.and_then(|cores| u32::try_from(cores.get()).ok());
        let user = rustix::process::getuid();
        machine.user_threads_max = getrlimit(Resource::Nproc).current.filter(|_| !user.is_root());
        // Every process is asked, so only where it matters.
        machine.user_threads_used =
            machine.user_threads_max.map(|_| threads_of(user.as_raw(), process_statuses()));
        machine
    }

    /// Everything that stands in files; `file` gives the text of one.
    fn read_from(file: &dyn Fn(&str) -> Option<String>) -> Self {
        let number = |path: &str| numbers(&file(path)?).next();
        let ports = file("/proc/sys/net/ipv4/ip_local_port_range");
        let mut ends =
            ports.as_deref().map(numbers).into_iter().flatten().filter_map(|n| u16::try_from(n).ok());
        let (first, last) = (ends.next(), ends.next());
        let cgroups = Cgroups { file, membership: file("/proc/self/cgroup").unwrap_or_default() };
        let word = |path: &str| Some(file(path)?.trim().to_owned()).filter(|word| !word.is_empty());
        Self {
            descriptors_soft: None,
            descriptors_hard: None,
            descriptors_ceiling: number("/proc/sys/fs/nr_open"),
            open_files_max: number("/proc/sys/fs/file-max"),
            open_files_used: number("/proc/sys/fs/file-nr"),
            local_port_first: first,
            local_port_last: last,
            local_ports_reserved: first.zip(last).and_then(|range| {
                Some(reserved_within(&file("/proc/sys/net/ipv4/ip_local_reserved_ports")?, range))
            }),
            tcp_tw_reuse: number("/proc/sys/net/ipv4/tcp_tw_reuse"),
            conntrack_max: number("/proc/sys/net/netfilter/nf_conntrack_max"),
            conntrack_used: number("/proc/sys/net/netfilter/nf_conntrack_count"),
            memory_available_bytes: file("/proc/meminfo")
                .and_then(|text| after(&text, "MemAvailable:"))
                .map(|kilobytes| kilobytes * 1024),
            memory_cgroup_bytes: cgroups.memory_free_bytes(),
            cores: None,
            cpu_quota_cores: cgroups.cpu_quota_cores(),
            threads_max: number("/proc/sys/kernel/threads-max"),
            threads_used: file("/proc/loadavg").and_then(|text| {
                let (_, all) = text.split_whitespace().nth(3)?.split_once('/')?;
                all.parse().ok()
            }),
            user_threads_max: None,
            user_threads_used: None,
            pids_free: cgroups.pids_free(),
            cpu_governor: word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_source: word("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            timer_slack_ns: number("/proc/self/timerslack_ns"),
        }
    }
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split_whitespace().map_while(|word| word.parse().ok())
}

/// The number after a key at the beginning of a line.
fn after(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| numbers(line.strip_prefix(key)?).next())
}

/// What `/proc` tells of each process.
fn process_statuses() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes =
        entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    // One that has ended meanwhile has no threads.
    processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok())
}

/// Threads of the processes that run as `user`.
fn threads_of(user: u32, statuses: impl Iterator<Item = String>) -> u64 {
    let own = statuses.filter(|status| after(status, "Uid:") == Some(user.into()));
    own.filter_map(|status| after(&status, "Threads:")).sum()
}

/// How many ports of a list such as `8080,9000-9010` lie within a range.
fn reserved_within(list: &str, (first, last): (u16, u16)) -> u32 {
    let one = |entry: &str| {
        let (from, to) = entry.split_once('-').unwrap_or((entry, entry));
        let (from, to) =
            (from.trim().parse::<u16>().ok()?.max(first), to.trim().parse::<u16>().ok()?.min(last));
        Some(u32::from(to).saturating_add(1).saturating_sub(u32::from(from)))
    };
    list.trim().split(',').filter_map(one).sum()
}

/// The control groups this process is in, of both versions. A group limits all below it, so every ancestor is asked.
struct Cgroups<'a> {
    file: &'a dyn Fn(&str) -> Option<String>,
    membership: String,
}

impl Cgroups<'_> {
    /// Folders of the group that has `controller` and of its ancestors; the root last. Inside a container the path may be that of the
    /// host and lead nowhere; the root then is the container's own group.
    fn folders(&self, controller: &str) -> Vec<String> {
        let mut folders = Vec::new();
        for line in self.membership.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let root = match controllers {
                "" => "/sys/fs/cgroup".to_owned(),
                some if some.split(',').any(|one| one == controller) => {
                    format!("/sys/fs/cgroup/{controller}")
                }
                _ => continue,
            };
            let mut path = path.trim_end_matches('/');
            loop {
                folders.push(format!("{root}{path}"));
                match path.rsplit_once('/') {
                    Some((parent, _)) => path = parent,
                    None => break,
                }
            }
        }
        folders
    }

    fn number(&self, path: &str) -> Option<u64> {
        let value = numbers(&(self.file)(path)?).next()?;
        (value < UNLIMITED_FROM).then_some(value)
    }

    fn memory_free_bytes(&self) -> Option<u64> {
        let free = |folder: &String| {
            let (limit, used, droppable) = match self.number(&format!("{folder}/memory.max")) {
                Some(limit) => (limit, "memory.current", "inactive_file"),
                None => (
                    self.number(&format!("{folder}/memory.limit_in_bytes"))?,
                    "memory.usage_in_bytes",
                    "total_inactive_file",
                ),
            };
            let used = self.number(&format!("{folder}/{used}")).unwrap_or(0);
            let stat = (self.file)(&format!("{folder}/memory.stat")).unwrap_or_default();
            let used = used.saturating_sub(after(&stat, droppable).unwrap_or(0));
            Some(limit.saturating_sub(used))
        };
        self.folders("memory").iter().filter_map(free).min()
    }

    fn cpu_quota_cores(&self) -> Option<f64> {
        let quota = |folder: &String| {
            let (quota, period) = match (self.file)(&format!("{folder}/cpu.max")) {
                Some(text) => {
                    let mut numbers = numbers(&text);
                    (numbers.next()?, numbers.next()?)
                }
                None => (
                    self.number(&format!("{folder}/cpu.cfs_quota_us"))?,
                    self.number(&format!("{folder}/cpu.cfs_period_us"))?,
                ),
            };
            (period > 0).then(|| quota as f64 / period as f64)
        };
        self.folders("cpu").iter().filter_map(quota).min_by(f64::total_cmp)
    }

    fn pids_free(&self) -> Option<u64> {
        let free = |folder: &String| {
            let limit = self.number(&format!("{folder}/pids.max"))?;
            Some(limit.saturating_sub(self.number(&format!("{folder}/pids.current")).unwrap_or(0)))
        };
        self.folders("pids").iter().filter_map(free).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Machine {
        Machine::read_from(&|path| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn what_is_not_told_is_absent() {
        assert_eq!(machine(&[]), Machine::default());
    }

    #[test]
    fn facts_are_read_from_where_the_kernel_keeps_them() {
        let machine = machine(&[
            ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("/proc/sys/net/ipv4/ip_local_reserved_ports", "8080,40000-40009,60990-65000\n"),
            ("/proc/sys/fs/file-nr", "484\t0\t2466193\n"),
            ("/proc/loadavg", "0.44 0.21 0.19 3/270 11147\n"),
            ("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable:   2048 kB\n"),
            ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ]);
        assert_eq!((machine.local_port_first, machine.local_port_last), (Some(32768), Some(60999)));
        assert_eq!(machine.local_ports_reserved, Some(20));
        assert_eq!((machine.open_files_used, machine.memory_available_bytes), (Some(484), Some(2 << 20)));
        assert_eq!(machine.clock_source.as_deref(), Some("tsc"));
        assert_eq!(machine.threads_used, Some(270));
        assert_eq!(machine.conntrack_max, None);
    }

    #[test]
    fn a_group_of_version_2_is_held_by_all_above_it() {
        let machine = machine(&[
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "700\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 400\ninactive_file 300\n"),
            ("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/b/pids.max", "64\n"),
            ("/sys/fs/cgroup/a/b/pids.current", "4\n"),
        ]);
        assert_eq!(machine.memory_cgroup_bytes, Some(600));
        assert_eq!((machine.cpu_quota_cores, machine.pids_free), (Some(1.5), Some(60)));
    }

    #[test]
    fn a_group_of_version_1_without_a_limit_is_no_limit() {
        let membership = ("/proc/self/cgroup", "4:memory:/x\n1:cpu,cpuacct:/\n");
        let none =
            machine(&[membership, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(none.memory_cgroup_bytes, None);
        let some = machine(&[
            membership,
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000\n"),
            ("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1000\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!((some.memory_cgroup_bytes, some.cpu_quota_cores), (Some(4000), Some(0.5)));
    }

    #[test]
    fn threads_of_a_user_are_those_of_all_its_processes() {
        let statuses =
            ["Name:\tsh\nUid:\t1000\t0\t0\t0\nThreads:\t1\n", "Uid:\t0\t1000\t0\t0\nThreads:\t7\n"]
                .into_iter()
                .chain(["Uid:\t1000\t1000\t1000\t1000\nThreads:\t12\n", "Name:\todd\n"]);
        assert_eq!(threads_of(1000, statuses.map(str::to_owned)), 13, "by the user it really is");
        let user = rustix::process::getuid().as_raw();
        assert!(threads_of(user, process_statuses()) >= 1, "this test is one");
    }

    #[test]
    fn this_machine_has_descriptors_and_cores() {
        let machine = Machine::read();
        assert!(machine.descriptors_soft.is_some_and(|limit| limit > 0) && machine.cores.is_some());
    }
}
