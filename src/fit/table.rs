//! Measurements as people keep them: CSV with a column of loads and one of throughputs.

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

/// Names of the columns of load and throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns<'c> {
    pub n: &'c str,
    pub x: &'c str,
}

impl Default for Columns<'_> {
    fn default() -> Self {
        Self { n: "n", x: "x" }
    }
}

/// The points of a table whose first line names its columns, in any order: n from 1 to 1e9, x from 0 to 1e15, both numbers as Rust and most languages
/// write them. Other columns are passed over. An n may stand there more than once, and lines without anything are passed over, too.
///
/// # Errors
/// What is wrong, in the order of the lines; of many the first [`FLAWS_MAX`].
pub fn points(text: &[u8], columns: Columns<'_>) -> Result<Vec<Point>, Vec<Flaw>> {
    // Spreadsheets begin their files with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
    let mut rows = reader.byte_records();
    let flaw = |line: u64, text: String| Flaw { line, text };
    let wanted = format!("{},{}", columns.n, columns.x);
    let Some(Ok(header)) = rows.next() else {
        return Err(vec![flaw(1, format!("nothing is here; expected the header `{wanted}`"))]);
    };
    let places = Places::of(&header, columns).map_err(|text| vec![flaw(1, text)])?;
    let (mut points, mut flaws) = (Vec::new(), Vec::new());
    for row in rows {
        // Bytes from memory are always readable, and rows may have any number of cells.
        let Ok(row) = row else { continue };
        let line = row.position().map_or(0, |position| line_of(text, position));
        match places.point(&row, columns) {
            Ok(point) => points.push(point),
            Err(text) => flaws.push(flaw(line, text)),
        }
        if flaws.len() == FLAWS_MAX {
            break;
        }
    }
    if flaws.is_empty() { Ok(points) } else { Err(flaws) }
}

/// Where in a row the two columns are, and how many cells it has.
struct Places {
    n: usize,
    x: usize,
    cells: usize,
}

impl Places {
    fn of(header: &csv::ByteRecord, columns: Columns<'_>) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(shown).collect();
        let place = |wanted: &str| {
            let mut found = header.iter().enumerate().filter(|(_, cell)| *cell == wanted.as_bytes());
            match (found.next(), found.next()) {
                (Some((place, _)), None) => Ok(place),
                (Some(_), Some(_)) => Err(format!("the column `{wanted}` is there twice")),
                (None, _) => Err(format!(
                    "expected the header `{},{}` (load, throughput), found `{}`; name the columns of load and throughput: --columns n,x",
                    columns.n,
                    columns.x,
                    names.join(",")
                )),
            }
        };
        Ok(Self { n: place(columns.n)?, x: place(columns.x)?, cells: header.len() })
    }

    fn point(&self, row: &csv::ByteRecord, columns: Columns<'_>) -> Result<Point, String> {
        if row.len() != self.cells {
            return Err(format!(
                "expected as many cells as the header has, {}, found {}",
                self.cells,
                row.len()
            ));
        }
        let number = |place: usize, name: &str, allowed: RangeInclusive<f64>, wanted: &str| {
            let cell = shown(&row[place]);
            let value: Option<f64> = cell.parse().ok().filter(|value: &f64| allowed.contains(value));
            value.ok_or_else(|| format!("expected {wanted} in column {name}, found `{cell}`"))
        };
        Ok(Point {
            n: number(self.n, columns.n, 1.0..=N_MAX, "a number from 1 to 1e9")?,
            x: number(self.x, columns.x, 0.0..=X_MAX, "a number from 0 to 1e15")?,
        })
    }
}

/// The line a row stands in. The reader's own count is of the place before the empty lines that it passed over.
fn line_of(text: &[u8], position: &csv::Position) -> u64 {
    let rest = usize::try_from(position.byte()).ok().and_then(|byte| text.get(byte..)).unwrap_or_default();
    let passed = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + passed.filter(|&&byte| byte == b'\n').count() as u64
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
        read_columns(text, Columns::default())
    }

    fn read_columns(text: &str, columns: Columns<'_>) -> Result<Vec<(f64, f64)>, Vec<String>> {
        points(text.as_bytes(), columns)
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
    fn columns_by_other_names() {
        let columns = Columns { n: "users", x: "requests per s" };
        let table = "at,requests per s,users,p99\n12:00,64.9,1,x\n12:01,995.9,18,\n";
        assert_eq!(read_columns(table, columns), Ok(vec![(1.0, 64.9), (18.0, 995.9)]));
        let flaws = read_columns("users,x\n", columns).unwrap_err();
        assert!(flaws[0].starts_with("1: expected the header `users,requests per s`"), "{flaws:?}");
    }

    #[test]
    fn bad_lines_are_told_with_what_was_expected() {
        let flaws = read("n,x\n1,64.9\n0.5,2\n3,-1\n4\n5,6,7\n6,fast\n\n7,inf\n8,NaN\nx,1\n").unwrap_err();
        insta::assert_snapshot!(flaws.join("\n"));
        assert_eq!(read(""), Err(vec!["1: nothing is here; expected the header `n,x`".to_owned()]));
        assert_eq!(
            read("load,tput\n1,2\n"),
            Err(vec!["1: expected the header `n,x` (load, throughput), found `load,tput`; name the columns of load and throughput: --columns n,x".to_owned()])
        );
        assert_eq!(read("n,x,x\n1,2,3\n"), Err(vec!["1: the column `x` is there twice".to_owned()]));
        let ends = read("\n\nn,x\r\n1,2\r\n\r\n\r\n?,2\r\n3,4\r\n?,5").unwrap_err();
        assert!(ends[0].starts_with("7: ") && ends[1].starts_with("9: "), "{ends:?}");
        assert_eq!(read(&format!("n,x\n{}", "?\n".repeat(100))).unwrap_err().len(), FLAWS_MAX);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_finite(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            for text in [text.clone(), [b"n,x\n", text.as_slice()].concat()] {
                match points(&text, Columns::default()) {
                    Ok(points) => prop_assert!(points.iter().all(|point| point.n >= 1.0 && point.x >= 0.0 && (point.n + point.x).is_finite())),
                    Err(flaws) => prop_assert!(!flaws.is_empty() && flaws.iter().all(|flaw| flaw.line > 0)),
                }
            }
        }
    }
}
