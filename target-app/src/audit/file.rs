//! A file of lines that stays below a bound: half of it is the newest, and when that is full it takes the place of the older
//! half, which is called the same with `.1` behind. So at least half of the bound is kept, and at most all of it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) struct Bounded {
    path: PathBuf,
    file: File,
    bytes: u64,
    half_bytes: u64,
}

impl Bounded {
    /// Goes on with the file that is there.
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = opened(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, half_bytes: max_bytes / 2 })
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.half_bytes {
            let mut older = OsString::from(&self.path);
            older.push(".1");
            match fs::rename(&self.path, older) {
                // It is done already, if a new file could not be opened then, or the file was taken away.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
            self.file = opened(&self.path)?;
            self.bytes = 0;
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes += length;
        Ok(())
    }
}

/// For its owner alone: it says who logged in from where.
fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Bounded;

    #[test]
    fn the_newest_lines_are_kept_within_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let older = directory.path().join("audit.1");
        let write = |numbers: std::ops::Range<u32>| {
            // A file that is opened again goes on where it was.
            let mut file = Bounded::open(path.clone(), 100).unwrap();
            for number in numbers {
                file.write(&format!("{number:09}\n")).unwrap();
                let size = |path| fs::metadata(path).map_or(0, |file| file.len());
                assert!(size(&path) <= 50 && size(&older) <= 50);
            }
        };
        write(0..8);
        write(8..23);
        let text = fs::read_to_string(&older).unwrap() + &fs::read_to_string(&path).unwrap();
        let kept: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(kept, (15..23).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_could_not_be_opened_is_with_the_next_line() {
        let directory = tempfile::tempdir().unwrap();
        let shop = directory.path().join("shop");
        fs::create_dir(&shop).unwrap();
        let mut file = Bounded::open(shop.join("audit"), 20).unwrap();
        file.write("0 is there\n").unwrap();
        // The older half has its name and the newer one cannot be made, as when there are no descriptors left.
        fs::rename(shop.join("audit"), shop.join("audit.1")).unwrap();
        fs::rename(&shop, directory.path().join("away")).unwrap();
        file.write("1 is lost\n").unwrap_err();
        fs::rename(directory.path().join("away"), &shop).unwrap();
        file.write("2 is there\n").unwrap();
        let read = |name: &str| fs::read_to_string(shop.join(name)).unwrap();
        assert_eq!((read("audit.1").as_str(), read("audit").as_str()), ("0 is there\n", "2 is there\n"));
    }
}
