//! Data tables: rows that users take, from a CSV file, a list of values or a list of rows.

use super::builder::Builder;
use super::compose::Files;
use super::document::{Node, Span};
use super::keys;
use super::plan::{AtEnd, DataTable, Take};
use super::problem::Source;
use super::reader::{self, Fields};
use crate::limits;
use std::path::Path;

type Rows = (Vec<String>, Vec<Box<[Box<str>]>>);

const TAKE: [(&str, Take); 3] =
    [("unique", Take::Unique), ("sequential", Take::Sequential), ("random", Take::Random)];
const AT_END: [(&str, AtEnd); 3] =
    [("recycle", AtEnd::Recycle), ("stop_user", AtEnd::StopUser), ("fail", AtEnd::Fail)];

impl Builder<'_> {
    pub(super) fn data_tables(&mut self, node: &Node, sources: &[Source], files: Files<'_>) {
        let Some(entries) = node.entries() else {
            self.sink.error(
                node.span,
                "`data` is a mapping from names to tables",
                "write data: {terms: {values: [lamp, desk]}}",
            );
            return;
        };
        for entry in entries {
            if !reader::is_name(&entry.key) {
                self.sink.error(
                    entry.key_span,
                    format!("`{}` cannot name a table", entry.key),
                    "letters, digits, `_` and `-`, beginning with a letter",
                );
            }
            let Some(fields) = Fields::open(&entry.value, &keys::TABLE, &mut self.sink) else { continue };
            let given: Vec<&str> =
                ["file", "values", "rows"].into_iter().filter(|key| fields.get(key).is_some()).collect();
            let read = match (given.as_slice(), given.first().and_then(|key| fields.get(key))) {
                (["file"], Some(node)) => self.csv(node, sources, files),
                (["values"], Some(node)) => self.values(node),
                (["rows"], Some(node)) => self.rows(node),
                _ => {
                    self.sink.error(
                        entry.key_span,
                        "a table has exactly one of `file`, `values` and `rows`",
                        "write values: [a, b], or file: users.csv",
                    );
                    None
                }
            };

            let take =
                fields.get("take").and_then(|node| reader::word(node, "`take`", &TAKE, &mut self.sink));
            let at_end =
                fields.get("at_end").and_then(|node| reader::word(node, "`at_end`", &AT_END, &mut self.sink));
            let (columns, rows) = read.unwrap_or_default();
            self.tables.push(DataTable {
                name: entry.key.clone(),
                columns,
                rows,
                take: take.unwrap_or(Take::Sequential),
                at_end: at_end.unwrap_or(AtEnd::Recycle),
                first_rows: Vec::new(),
            });
        }
    }

    fn csv(&mut self, node: &Node, sources: &[Source], files: Files<'_>) -> Option<Rows> {
        let name = self.fixed(node, "a data file")?;
        let home = sources.get(usize::from(node.span.source)).map_or("", |source| source.name.as_str());
        let path = Path::new(home).parent().unwrap_or(Path::new("")).join(&name);
        let bytes = files(&path, limits::DATA_FILE_BYTES_MAX)
            .map_err(|reason| {
                let help = "paths are relative to the file that names them";
                self.sink.error(node.span, format!("cannot read `{}`: {reason}", path.display()), help);
            })
            .ok()?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
        let mut refuse = |error: csv::Error| {
            let help = "the first line names the columns, and every line has as many cells";
            self.sink.error(node.span, format!("`{}` is not CSV: {error}", path.display()), help);
        };
        let columns: Vec<String> =
            reader.headers().map_err(&mut refuse).ok()?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(&mut refuse).ok()?;
            rows.push(record.iter().map(Box::from).collect());
        }
        self.checked(columns, rows, node.span)
    }

    fn values(&mut self, node: &Node) -> Option<Rows> {
        let items = reader::list(node, "`values`", &mut self.sink);
        let mut rows: Vec<Box<[Box<str>]>> = Vec::new();
        for item in items {
            rows.push(Box::new([self.fixed(item, "a value")?.into()]));
        }
        self.checked(vec!["value".into()], rows, node.span)
    }

    fn rows(&mut self, node: &Node) -> Option<Rows> {
        let items = reader::list(node, "`rows`", &mut self.sink);
        let columns: Vec<String> = items
            .first()
            .and_then(Node::entries)
            .unwrap_or_default()
            .iter()
            .map(|entry| entry.key.clone())
            .collect();
        let mut rows = Vec::new();
        for item in items {
            let entries = item.entries().unwrap_or_default();
            if entries.len() != columns.len() || !columns.iter().all(|column| item.get(column).is_some()) {
                self.sink.error(
                    item.span,
                    "this row has other columns than the first",
                    format!("every row has: {}", columns.join(", ")),
                );
                return None;
            }
            let mut cells: Vec<Box<str>> = Vec::new();
            for column in &columns {
                cells.push(self.fixed(item.get(column)?, "a cell")?.into());
            }
            rows.push(cells.into_boxed_slice());
        }
        self.checked(columns, rows, node.span)
    }

    fn checked(&mut self, columns: Vec<String>, rows: Vec<Box<[Box<str>]>>, at: Span) -> Option<Rows> {
        if rows.is_empty() || columns.is_empty() {
            self.sink.error(
                at,
                "this table has no rows",
                "users would have nothing to take: give it at least one",
            );
            return None;
        }
        Some((columns, rows))
    }
}
