//! This process as the kernel sees it. What cannot be read is zero: a metric must not bring the app down.

use std::fs;

/// Memory of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) resident_bytes: u64,
    /// What of it is no file's: the heap, whether in use or only kept for later, and the stacks.
    pub(super) anonymous_bytes: u64,
}

impl Memory {
    pub(super) fn now() -> Self {
        let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        Self::parse(&text, rustix::param::page_size() as u64).unwrap_or_default()
    }

    /// Of the fields of proc_pid_statm(5), which are in pages: size, resident, shared.
    fn parse(statm: &str, page_bytes: u64) -> Option<Self> {
        let mut pages = statm.split_whitespace().skip(1).map(str::parse::<u64>);
        let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
        Some(Self {
            resident_bytes: resident * page_bytes,
            anonymous_bytes: resident.saturating_sub(shared) * page_bytes,
        })
    }
}

/// Open file descriptors. Since Linux 6.2 the directory's size is their number, which costs nothing with 100,000 of
/// them open; before that it is zero, and they have to be counted.
pub(super) fn open_descriptors() -> u64 {
    match fs::metadata("/proc/self/fd").map(|directory| directory.len()) {
        Ok(count) if count > 0 => count,
        _ => fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
    }
}

/// How many there may be; zero for no limit.
pub(super) fn descriptors_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn memory_of_a_file_is_no_heap() {
        let memory = Memory::parse("331140 56868 486 89 0 265043 0\n", 4096).unwrap();
        assert_eq!((memory.resident_bytes, memory.anonymous_bytes), (56_868 * 4096, (56_868 - 486) * 4096));
        assert!(Memory::parse("", 4096).is_none());
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let memory = Memory::now();
        assert!(memory.resident_bytes > 1 << 20 && memory.anonymous_bytes < memory.resident_bytes);
        let before = super::open_descriptors();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/statm").unwrap()).collect();
        assert!(super::open_descriptors() >= before.max(50) && before >= 3);
        drop(files);
    }
}
