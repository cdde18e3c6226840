//! A disk that fills up in mid-run. The disk is a small tmpfs, which only root can mount.

use super::e2e::invocation::run;
use super::e2e::{scratch, tell};
use super::seconds_recorded;
use plimsoll::record::recorded::Recorded;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A few seconds of records, and no more.
const DISK: &str = "size=48k";

/// A disk of its own, taken away with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(at);
        mount.output().is_ok_and(|done| done.status.success()).then(|| Self(at.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run_and_leaves_what_was_measured() {
    let dir = scratch();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk")) else {
        tell("SKIPPED a_full_disk_ends_the_run_and_leaves_what_was_measured: mounting a tmpfs needs root");
        return;
    };
    let folder = disk.0.join("run");
    let done = run("readers.yaml").out(&folder).run().exits(9);
    done.says(&folder.display().to_string());
    done.says("No space left on device");
    done.says("free some space, or give another folder with --out");
    assert!(seconds_recorded(&folder) >= 1);
    let recorded = Recorded::open(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        !recorded.timeline.is_empty() && !recorded.intervals.is_empty(),
        "what was written is there to be read"
    );
    assert!(recorded.manifest.progress.counts.completed > 0);
}
