//! This process as the kernel sees it. What cannot be read is zero: a metric must not bring the app down.

use std::fs;

/// Resident memory.
pub(super) fn resident_bytes() -> u64 {
    // Fields of statm: size, resident, ... in pages.
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
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
    #[test]
    fn this_process_has_memory_and_descriptors() {
        assert!(super::resident_bytes() > 1 << 20);
        let before = super::open_descriptors();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/statm").unwrap()).collect();
        assert!(super::open_descriptors() >= before.max(50) && before >= 3);
        drop(files);
    }
}
