//! Small documents that a command reads whole: from a file, or from standard input where `-` stands for one.

use std::io::Read as _;
use std::path::Path;

/// What stands for standard input.
const STDIN: &str = "-";

/// The source as messages name it.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}

/// All that is there.
///
/// # Errors
/// What the system says, and more than `bytes_max` bytes.
pub(super) fn read(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new(STDIN) {
        std::io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_too_large_is_refused() {
        let error = read(Path::new("there/is/none.json"), 10).expect_err("no file");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("eleven");
        std::fs::write(&path, "elevenbytes").expect("a file");
        assert_eq!(read(&path, 11).expect("as many as may be").len(), 11);
        assert!(read(&path, 10).expect_err("too many").to_string().contains("more than 10 bytes"));
        assert_eq!(
            (name(Path::new("-")), name(Path::new("./-"))),
            ("standard input".to_owned(), "./-".to_owned())
        );
    }
}
