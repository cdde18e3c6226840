//! Rules on everything a reader opens: no trace of the machine it was written on, links that lead somewhere, a changelog that knows
//! the version.

use crate::tree::{self, File, expect_none};
use regex::Regex;
use std::path::{Component, Path, PathBuf};

/// Absolute paths of somebody's machine. The letter before keeps `http://host/work/1` and `src/root/a` out of it.
const MACHINE_PATHS: &str =
    concat!(r"(^|[^\w.}/])/(wo", r"rk|tm", r"p/h|ro", r"ot|ho", r"me/\w+|Us", r"ers/\w+)/");

/// Hosts that packages come from: cargo, npm, pip and apt know theirs, and a mirror's name is nobody else's business.
const REGISTRIES: &str = concat!(
    r"\b(index\.|static\.)?cra",
    r"tes\.io\b|registry\.npm",
    r"js\.org|py",
    r"pi\.org|python",
    r"hosted\.org|deb\.deb",
    r"ian\.org"
);

/// What cargo writes itself.
const LOCK: &str = "Cargo.lock";

fn matching(pattern: &str, files: &[File], why: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.path.ends_with(LOCK)) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(found) = pattern.find(line) {
                findings.push(format!("{}:{}: `{}`: {why}", file.path, index + 1, found.as_str().trim()));
            }
        }
    }
    findings
}

/// Relative links of Markdown files to what does not exist.
fn dead_links(files: &[File], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_markdown()) {
        for (number, line) in prose(&file.text) {
            for found in link.captures_iter(line) {
                let target = found[1].split('#').next().unwrap_or_default();
                let elsewhere = target.contains("://") || target.starts_with("mailto:");
                if elsewhere || target.is_empty() {
                    continue;
                }
                let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
                if !exists(&plain(&folder.join(target))) {
                    findings.push(format!("{}:{number}: the link to `{target}` leads nowhere", file.path));
                }
            }
        }
    }
    findings
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// `docs/../a` is `a`; a path that leaves the repository keeps its `..` and so is not found.
fn plain(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.file_name().is_some() => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}

/// The newest heading of the changelog is the version of the package or what comes after it.
fn changelog(text: &str, version: &str) -> Vec<String> {
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let is = |heading: &&str, name: &str| heading.trim_start_matches('[').starts_with(name);
    let newest = headings.first();
    if newest.is_some_and(|heading| is(heading, "Unreleased") || is(heading, version)) {
        return Vec::new();
    }
    vec![format!("CHANGELOG.md: its newest heading is {newest:?}, not `{version}` or `Unreleased`")]
}

#[test]
fn nothing_names_a_machine() {
    let why = "a path of one machine; say it relative to the repository";
    for line in
        [concat!("see /wo", "rk/notes.md"), concat!("`/ro", "ot/.cargo`"), concat!("\"/tm", "p/h/x\"")]
    {
        assert_eq!(matching(MACHINE_PATHS, &[File::made_up("docs/a.md", line)], why).len(), 1, "{line}");
    }
    let fine = File::made_up("docs/a.md", concat!("GET http://host/wo", "rk/1 and src/wo", "rk/a.rs"));
    expect_none(&matching(MACHINE_PATHS, &[fine], why));
    expect_none(&matching(MACHINE_PATHS, &tree::all(), why));
}

#[test]
fn nothing_names_a_package_registry() {
    let why = "a package registry; the package manager knows it";
    let bad = File::made_up("deny.toml", concat!("allow = [\"https://cra", "tes.io\"]"));
    assert_eq!(matching(REGISTRIES, &[bad], why).len(), 1);
    expect_none(&matching(REGISTRIES, &tree::all(), why));
}

#[test]
fn links_lead_somewhere() {
    let page = File::made_up(
        "docs/a.md",
        "[x](../README.md#top) [y](gone.md)\n```\n[z](code.md)\n```\n[w](https://example.com)",
    );
    let found = dead_links(&[page], |path| path == Path::new("README.md"));
    assert_eq!(found, ["docs/a.md:1: the link to `gone.md` leads nowhere"]);
    expect_none(&dead_links(&tree::all(), |path| tree::root().join(path).exists()));
}

#[test]
fn the_changelog_knows_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(changelog("# Changelog\n\n## 0.0.1\n", version).len(), 1);
    assert_eq!(changelog("# Changelog\n", version).len(), 1);
    expect_none(&changelog("## [Unreleased]\n", version));
    let text = std::fs::read_to_string(tree::root().join("CHANGELOG.md")).expect("CHANGELOG.md");
    expect_none(&changelog(&text, version));
}
