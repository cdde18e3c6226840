//! docs/seed-coverage.md says what became of every line of docs/production-scaling-notes.md. A page like that is worth something only
//! while it is complete and true, so it is read here: every line of the notes stands in exactly one entry, in the order of the notes,
//! every entry has a kind and a reason, and what an entry points at is there. Lines are quoted by their text, so they may move.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};
use target_app::profile::{Profile, dial_names};
use target_app::route::ROUTES;

/// How the tables of entries begin; the page has others.
const HEAD: &str = "| the notes say | kind | state | what it is here |";
/// The shortest text that can be a reason.
const REASON_CHARACTERS_MIN: usize = 10;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A row of the page.
struct Entry {
    /// The line of the page it stands on.
    number: usize,
    quoted: Vec<String>,
    kind: String,
    state: String,
    text: String,
}

/// The entries of the page, and rows that are none.
fn entries(page: &str) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut findings) = (Vec::new(), Vec::new());
    let mut inside = false;
    for (number, line) in page.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        inside = line == HEAD || (inside && line.starts_with('|'));
        if !inside || line == HEAD || line.starts_with("|---") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [quoted, kind, state, text] = cells[..] else {
            findings.push(format!("line {number} of the page has {} cells, not four", cells.len()));
            continue;
        };
        // A fence is nothing but backticks, so it is set between two with a blank, as Markdown has it.
        let unquoted = |code: &str| match code.strip_prefix("`` ").and_then(|rest| rest.strip_suffix(" ``")) {
            Some(fence) => fence.to_owned(),
            None => code.trim_matches('`').to_owned(),
        };
        entries.push(Entry {
            number,
            quoted: quoted.split("<br>").map(unquoted).collect(),
            kind: kind.to_owned(),
            state: state.to_owned(),
            text: text.to_owned(),
        });
    }
    (entries, findings)
}

/// Where the entries and the notes part: one after the other, the quotes have to be the notes without their empty lines.
fn uncovered(notes: &str, entries: &[Entry]) -> Option<String> {
    let lines = notes.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty());
    let mut quotes = entries.iter().flat_map(|entry| entry.quoted.iter().map(|text| (entry.number, text)));
    loop {
        match (lines.next(), quotes.next()) {
            (None, None) => return None,
            (Some((_, line)), Some((_, quote))) if line == quote => {}
            (Some((number, line)), Some((row, quote))) => {
                return Some(format!(
                    "line {number} of the notes, `{line}`, has no entry: line {row} of the page is next and quotes `{quote}`"
                ));
            }
            (Some((number, line)), None) => {
                return Some(format!(
                    "line {number} of the notes, `{line}`, has no entry: the page has ended"
                ));
            }
            (None, Some((row, quote))) => {
                return Some(format!(
                    "line {row} of the page quotes `{quote}`, which the notes do not say there"
                ));
            }
        }
    }
}

/// What is wrong with an entry by itself.
fn unfit(entry: &Entry, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut finding = |what: String| findings.push(format!("line {} of the page: {what}", entry.number));
    let pointers = pointers(&entry.text);
    match (entry.kind.as_str(), entry.state.as_str()) {
        ("mechanism", "here") if pointers.is_empty() => {
            finding("it is here but points at nothing".to_owned())
        }
        ("mechanism", "here" | "planned") | ("planner", "planned") | ("excluded", "—") => {}
        (kind, state) => finding(format!("there is no kind `{kind}` with the state `{state}`")),
    }
    if pointers.is_empty() && entry.text.chars().count() < REASON_CHARACTERS_MIN {
        finding(format!("`{}` is no reason", entry.text));
    }
    for pointer in pointers.iter().filter(|pointer| !exists(pointer)) {
        finding(format!("there is no `{pointer}`"));
    }
    findings
}

fn pointers(text: &str) -> Vec<String> {
    let code = Regex::new("`([^`]+)`").unwrap();
    code.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn findings(notes: &str, page: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let (entries, mut findings) = entries(page);
    findings.extend(uncovered(notes, &entries));
    findings.extend(entries.iter().flat_map(|entry| unfit(entry, &exists)));
    findings
}

/// What an entry may point at.
struct Tree {
    names: Vec<String>,
    sources: String,
}

impl Tree {
    fn read() -> Self {
        let routes = ROUTES.iter().map(|route| route.name());
        let rules = read("target-app/deploy/alerts.yml");
        let alerts =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned));
        let words = Profile::names().into_iter().chain(dial_names()).map(str::to_owned);
        let mut sources = String::new();
        gather(&root().join("target-app/src"), &mut sources);
        Self { names: words.chain(routes).chain(alerts).collect(), sources }
    }

    /// A file or folder, a profile, a dial, a route, an alert, or a metric, which is a word that the app's code has in quotes.
    fn has(&self, pointer: &str) -> bool {
        let path = root().join(pointer);
        let is_path = !pointer.starts_with('/') && !pointer.contains("..") && path.exists();
        let is_metric = pointer.contains('_') && self.sources.contains(&format!("\"{pointer}\""));
        is_path || is_metric || self.names.iter().any(|name| name == pointer)
    }
}

fn gather(dir: &Path, text: &mut String) {
    let paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in paths {
        if path.is_dir() {
            gather(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

const NOTES: &str = "docs/production-scaling-notes.md";
const PAGE: &str = "docs/seed-coverage.md";

#[test]
fn every_line_of_the_notes_has_an_entry_that_holds() {
    let tree = Tree::read();
    let found = findings(&read(NOTES), &read(PAGE), |pointer| tree.has(pointer));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Wherever it is: among code, in a list, before the first line, after the last.
#[test]
fn a_line_more_or_less_or_otherwise_is_seen() {
    let (notes, page) = (read(NOTES), read(PAGE));
    let (entries, _) = entries(&page);
    let lines: Vec<&str> = notes.lines().collect();
    assert!(lines.len() > 400);
    for at in 0..=lines.len() {
        let mut more = lines.clone();
        more.insert(at, "- [ ] Something else");
        assert!(uncovered(&more.join("\n"), &entries).is_some(), "a line more at {at}");
        more[at] = "";
        assert_eq!(uncovered(&more.join("\n"), &entries), None, "an empty line is none");
    }
    for at in (0..lines.len()).filter(|at| !lines[*at].trim().is_empty()) {
        let mut other = lines.clone();
        let text = format!("{}0", lines[at]);
        other[at] = &text;
        assert!(uncovered(&other.join("\n"), &entries).is_some(), "a digit more at {at}");
        other.remove(at);
        assert!(uncovered(&other.join("\n"), &entries).is_some(), "a line less at {at}");
    }
}

#[test]
fn an_entry_that_does_not_hold_is_seen() {
    let page =
        |rows: &str| format!("# x\n\n| a | b |\n|---|---|\n| c | d |\n\n{HEAD}\n|---|---|---|---|\n{rows}\n");
    let notes = "# One\n\n```sh\n  two\n```\n- three\n";
    let whole = "| `# One` | mechanism | here | `src` |\n| `` ```sh ``<br>`two`<br>`` ``` `` | planner | planned | prices of a month |";
    let of = |rows: &str| findings(notes, &page(rows), |pointer| pointer == "src").join("\n");
    assert_eq!(of(&format!("{whole}\n| `- three` | excluded | — | no part of it |")), "");
    let wrong = [
        whole.to_owned(),
        format!(
            "{whole}\n| `- three` | excluded | — | no part of it |\n| `- three` | excluded | — | no part of it |"
        ),
        format!("{whole}\n| `- three` | mechanism | here | somewhere in the code |"),
        format!("{whole}\n| `- three` | mechanism | here | `gone.rs` |"),
        format!("{whole}\n| `- three` | mechanism | done | `src` |"),
        format!("{whole}\n| `- three` | excluded | — | no |"),
        format!("{whole}\n| `- three` | excluded |"),
    ];
    insta::assert_snapshot!(wrong.iter().map(|rows| of(rows)).collect::<Vec<_>>().join("\n"), @r"
    line 6 of the notes, `- three`, has no entry: the page has ended
    line 12 of the page quotes `- three`, which the notes do not say there
    line 11 of the page: it is here but points at nothing
    line 11 of the page: there is no `gone.rs`
    line 11 of the page: there is no kind `mechanism` with the state `done`
    line 11 of the page: `no` is no reason
    line 11 of the page has 2 cells, not four
    line 6 of the notes, `- three`, has no entry: the page has ended
    ");
}
