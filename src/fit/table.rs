//! Measurements as people keep them: CSV with the columns `n` and `x`.

use super::usl::Point;
use std::fmt;
use std::ops::RangeInclusive;

/// Flaws that are told; a file of another kind has one a line.
const FLAWS_MAX: usize = 20;

/// Beyond these a figure is a slip of the hand, and its square would leave what numbers can hold.
const N_MAX: f64 = 1e9;
const X_MAX: f64 = 1e15;

/// What is wrong with a line, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Counted from 1.
    pub line: u64,
    pub text: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// The points of a table whose first line is `n,x` or `x,n`: n from 1 to 1e9, x from 0 to 1e15, both numbers as Rust and most languages write them. An n may
/// stand there more than once, and lines without anything are passed over.
///
/// # Errors
/// What is wrong, in the order of the lines; of many the first [`FLAWS_MAX`].
pub fn points(text: &[u8]) -> Result<Vec<Point>, Vec<Flaw>> {
    // Spreadsheets begin their files with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
    let mut rows = reader.byte_records();
    let flaw = |line: u64, text: String| Flaw { line, text };
    let Some(Ok(header)) = rows.next() else {
        return Err(vec![flaw(1, "nothing is here; expected the header `n,x`".to_owned())]);
    };
    let header: Vec<String> = header.iter().map(shown).collect();
    let columns: (usize, usize) = match header.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["n", "x"] => (0, 1),
        ["x", "n"] => (1, 0),
        _ => {
            let text = format!("expected the header `n,x` (load, throughput), found `{}`", header.join(","));
            return Err(vec![flaw(1, text)]);
        }
    };
    let (mut points, mut flaws) = (Vec::new(), Vec::new());
    for row in rows {
        // Bytes from memory are always readable, and rows may have any number of cells.
        let Ok(row) = row else { continue };
        let line = row.position().map_or(0, |position| line_of(text, position));
        match point(&row, columns) {
            Ok(point) => points.push(point),
            Err(text) => flaws.push(flaw(line, text)),
        }
        if flaws.len() == FLAWS_MAX {
            break;
        }
    }
    if flaws.is_empty() { Ok(points) } else { Err(flaws) }
}

/// The line a row stands in. The reader's own count is of the place before the empty lines that it passed over.
fn line_of(text: &[u8], position: &csv::Position) -> u64 {
    let rest = usize::try_from(position.byte()).ok().and_then(|byte| text.get(byte..)).unwrap_or_default();
    let passed = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + passed.filter(|&&byte| byte == b'\n').count() as u64
}

fn point(row: &csv::ByteRecord, (n, x): (usize, usize)) -> Result<Point, String> {
    if row.len() != 2 {
        return Err(format!("expected two cells, n and x, found {}", row.len()));
    }
    let number = |column: usize, name: &str, allowed: RangeInclusive<f64>, wanted: &str| {
        let cell = shown(&row[column]);
        let value: Option<f64> = cell.parse().ok().filter(|value: &f64| allowed.contains(value));
        value.ok_or_else(|| format!("expected {wanted} in column {name}, found `{cell}`"))
    };
    Ok(Point {
        n: number(n, "n", 1.0..=N_MAX, "a number from 1 to 1e9")?,
        x: number(x, "x", 0.0..=X_MAX, "a number from 0 to 1e15")?,
    })
}

/// A cell as it can be shown, cut where it is long.
fn shown(cell: &[u8]) -> String {
    const SHOWN_MAX: usize = 40;
    let text = String::from_utf8_lossy(cell);
    let mut cut: String =
        text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { '·' } else { c }).collect();
    if cut.len() < text.len() && text.chars().count() > SHOWN_MAX {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    fn read(text: &str) -> Result<Vec<(f64, f64)>, Vec<String>> {
        points(text.as_bytes())
            .map(|points| points.iter().map(|point| (point.n, point.x)).collect())
            .map_err(|flaws| flaws.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tables_as_people_write_them() {
        let wanted = Ok(vec![(1.0, 64.9), (18.0, 995.9), (18.0, 1e3)]);
        assert_eq!(read("n,x\n1,64.9\n18,995.9\n18,1e3\n"), wanted);
        assert_eq!(read("\u{feff}x , n\r\n64.9, 1\r\n\r\n995.9, 18\r\n\"1000\", 18"), wanted);
        assert_eq!(read("n,x\n"), Ok(vec![]));
    }

    #[test]
    fn bad_lines_are_told_with_what_was_expected() {
        let flaws = read("n,x\n1,64.9\n0.5,2\n3,-1\n4\n5,6,7\n6,fast\n\n7,inf\n8,NaN\nx,1\n").unwrap_err();
        insta::assert_snapshot!(flaws.join("\n"));
        assert_eq!(read(""), Err(vec!["1: nothing is here; expected the header `n,x`".to_owned()]));
        assert_eq!(
            read("load,tput\n1,2\n"),
            Err(vec!["1: expected the header `n,x` (load, throughput), found `load,tput`".to_owned()])
        );
        let ends = read("\n\nn,x\r\n1,2\r\n\r\n\r\n?,2\r\n3,4\r\n?,5").unwrap_err();
        assert!(ends[0].starts_with("7: ") && ends[1].starts_with("9: "), "{ends:?}");
        assert_eq!(read(&format!("n,x\n{}", "?\n".repeat(100))).unwrap_err().len(), FLAWS_MAX);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_finite(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            for text in [text.clone(), [b"n,x\n", text.as_slice()].concat()] {
                match points(&text) {
                    Ok(points) => prop_assert!(points.iter().all(|point| point.n >= 1.0 && point.x >= 0.0 && (point.n + point.x).is_finite())),
                    Err(flaws) => prop_assert!(!flaws.is_empty() && flaws.iter().all(|flaw| flaw.line > 0)),
                }
            }
        }
    }
}
