//! Rules on single Rust files: their length, their header, their names, and words that must not stand in them.

use crate::tree::{self, File, expect_none};
use regex::Regex;

/// Lines of one file, its tests included. A file that outgrows this has two subjects.
const LINES_MAX: usize = 500;

/// Names under which anything could hide.
const NO_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers", "imp", "stuff"];

/// Folders of code that ships; benches and tests may print and may stop where they like.
const SHIPPED: &[&str] = &["src/", "target-app/src/"];

/// A pattern that must not stand in code.
struct Banned {
    pattern: &'static str,
    /// Where the rule holds; everywhere if empty.
    inside: &'static [&'static str],
    /// The files that are the one place for it.
    except: &'static [&'static str],
    remedy: &'static str,
}

const LEFTOVERS: Banned = Banned {
    pattern: concat!(r"\b(dbg|to", r"do|unimplem", r"ented)!|\b(FIX", r"ME|XX", r"X|TO", r"DO)\b"),
    inside: &[],
    except: &[],
    remedy: "finish it or open an issue",
};
const GLOBS: Banned = Banned {
    pattern: r"^\s*(pub(\([^)]*\))? )?use [^;]*\*\s*[;,}]",
    inside: &[],
    except: &[],
    remedy: "name what is imported",
};
const IGNORED: Banned = Banned {
    pattern: concat!(r"#\[ig", r"nore"),
    inside: &[],
    except: &[],
    remedy: "a test that is not run is no test: make it fast, give it its own slice, or delete it",
};
const CLOCKS: Banned = Banned {
    pattern: concat!(
        r"\b(Inst",
        r"ant|System",
        r"Time|Time",
        r"stamp|Zo",
        r"ned)::now\(|clock_get",
        r"time\("
    ),
    inside: &[],
    // The bench holds what another process stamped against the calendar, and is none of the crate.
    except: &["src/clock.rs", "target-app/src/clock.rs", "target-app/benches/broadcast.rs"],
    remedy: "only clock.rs reads time: take an instant as an argument",
};
const EXITS: Banned = Banned {
    pattern: concat!(r"process::(ex", r"it|ab", r"ort)\b"),
    inside: &[],
    except: &["src/main.rs", "target-app/src/main.rs"],
    remedy: "only main.rs ends the process: return an error",
};
const PRINTS: Banned = Banned {
    pattern: concat!(r"\be?pri", r"nt(ln)?!|\bstd", r"(out|err)\(\)"),
    inside: SHIPPED,
    except: &["src/main.rs", "target-app/src/main.rs"],
    remedy: "write to the writer that the process was given",
};

fn banned(rule: &Banned, files: &[File]) -> Vec<String> {
    let pattern = Regex::new(rule.pattern).expect("a pattern");
    let mut findings = Vec::new();
    for file in files {
        let here = rule.inside.is_empty() || rule.inside.iter().any(|folder| file.path.starts_with(folder));
        if !here || rule.except.contains(&file.path.as_str()) {
            continue;
        }
        for (number, line) in file.text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            if let Some(found) = pattern.find(line) {
                findings.push(format!(
                    "{}:{number}: `{}`: {}",
                    file.path,
                    found.as_str().trim(),
                    rule.remedy
                ));
            }
        }
    }
    findings
}

/// Shows the rule a line that breaks it, then the tree.
#[track_caller]
fn hold(rule: &Banned, broken: &str, files: &[File]) {
    let made_up = File::made_up("src/made_up.rs", broken);
    assert_eq!(banned(rule, &[made_up]).len(), 1, "the rule does not see `{broken}`");
    expect_none(&banned(rule, files));
}

fn too_long(files: &[File]) -> Vec<String> {
    let lengths = files.iter().map(|file| (&file.path, file.text.lines().count()));
    lengths
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines, {LINES_MAX} at most: split it by subject"))
        .collect()
}

fn headless(files: &[File]) -> Vec<String> {
    let says = |file: &&File| !file.text.starts_with("//! ");
    files
        .iter()
        .filter(says)
        .map(|file| format!("{}: does not open with `//! ` what lives there and why", file.path))
        .collect()
}

fn nameless(files: &[File]) -> Vec<String> {
    let module = Regex::new(r"\bmod (\w+)\b").expect("a pattern");
    let mut findings = Vec::new();
    for file in files {
        let of_path = file.path.trim_end_matches(".rs").split('/').filter(|part| NO_NAMES.contains(part));
        findings.extend(of_path.map(|part| format!("{}: `{part}` is no name for a module", file.path)));
        for (number, line) in file.code() {
            let inline = module.captures_iter(line).filter(|found| NO_NAMES.contains(&&found[1]));
            findings.extend(
                inline
                    .map(|found| format!("{}:{number}: `{}` is no name for a module", file.path, &found[1])),
            );
        }
    }
    findings
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    let long = File::made_up("src/long.rs", &"//! x\n".repeat(LINES_MAX + 1));
    let fits = File::made_up("src/fits.rs", &"//! x\n".repeat(LINES_MAX));
    assert_eq!(too_long(&[long, fits]).len(), 1);
    expect_none(&too_long(&tree::rust()));
}

#[test]
fn every_file_opens_with_what_lives_there() {
    let bad = [File::made_up("src/a.rs", "use std::fs;\n"), File::made_up("src/b.rs", "\n//! Late.\n")];
    assert_eq!(headless(&bad).len(), 2);
    expect_none(&headless(&tree::rust()));
}

#[test]
fn every_module_has_a_name() {
    let bad = [
        File::made_up("src/util/mod.rs", "//! x\n"),
        File::made_up("src/a.rs", concat!("pub(crate) mod help", "ers;\n")),
    ];
    assert_eq!(nameless(&bad).len(), 2);
    expect_none(&nameless(&tree::rust()));
}

#[test]
fn nothing_is_left_unfinished() {
    hold(&LEFTOVERS, concat!("    to", "do!(\"later\")"), &tree::rust());
    hold(&LEFTOVERS, concat!("    // FIX", "ME: later"), &tree::rust());
}

#[test]
fn imports_name_what_they_import() {
    // In tests clippy judges, which lets a module of tests take in its parent whole.
    let code: Vec<File> = tree::without_test_modules(tree::rust()).iter().map(without_tests).collect();
    hold(&GLOBS, "use std::collections::*;", &code);
    hold(&GLOBS, "    use std::{collections::*, fs};", &code);
}

/// The file with its tests blanked, so that line numbers stay.
fn without_tests(file: &File) -> File {
    let end = file.code_without_tests().last().map_or(0, |(number, _)| number);
    let kept: Vec<&str> = file.text.lines().take(end).collect();
    File::made_up(&file.path, &kept.join("\n"))
}

#[test]
fn every_test_is_run() {
    hold(&IGNORED, concat!("#[ig", "nore = \"slow\"]"), &tree::rust());
}

#[test]
fn only_the_clock_reads_time() {
    hold(&CLOCKS, concat!("let now = Inst", "ant::now();"), &tree::rust());
    hold(&CLOCKS, concat!("let now = jiff::Time", "stamp::now();"), &tree::rust());
}

#[test]
fn only_main_ends_the_process() {
    hold(&EXITS, concat!("std::process::ex", "it(1);"), &tree::rust());
}

#[test]
fn nothing_prints_behind_the_back_of_its_caller() {
    hold(&PRINTS, concat!("    epri", "ntln!(\"hm\");"), &tree::rust());
    let bench = File::made_up("benches/made_up.rs", concat!("pri", "ntln!();"));
    expect_none(&banned(&PRINTS, &[bench]));
}
