//! A dependency that nothing uses costs every build from nothing and every audit; one that only tests use belongs among those of tests.

use crate::tree::{self, File, expect_none};
use regex::Regex;

/// The packages of the workspace: where the manifest stands, what ships, and what else may use its dependencies.
const PACKAGES: &[(&str, &str, &[&str])] = &[
    ("Cargo.toml", "src/", &["tests/", "benches/"]),
    ("target-app/Cargo.toml", "target-app/src/", &["target-app/tests/"]),
];

/// Names under this heading of a manifest, one a line as `name = …` or `name.workspace = true`.
fn listed<'m>(manifest: &'m str, heading: &str) -> Vec<&'m str> {
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1);
    let table = lines.take_while(|line| !line.starts_with('['));
    table
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

/// What is listed in a manifest but named in none of the files that start with one of these folders.
fn unused(manifest: &File, heading: &str, folders: &[&str], files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for name in listed(&manifest.text, heading) {
        let word = Regex::new(&format!(r"\b{}\b", name.replace('-', "_"))).expect("a pattern");
        let mut readers =
            files.iter().filter(|file| folders.iter().any(|folder| file.path.starts_with(folder)));
        if !readers.any(|file| file.code().any(|(_, line)| word.is_match(line))) {
            findings.push(format!(
                "{}: {heading}: nothing in {} uses `{name}`",
                manifest.path,
                folders.join(", ")
            ));
        }
    }
    findings
}

#[test]
fn every_dependency_is_used_where_it_is_listed() {
    let manifest = File::made_up(
        "Cargo.toml",
        "[package]\nname = \"a\"\n[dependencies]\nserde-it = \"1\"\nwide.workspace = true\n",
    );
    let code = [
        File::made_up("src/a.rs", "// serde_it\nuse wide::Thing;"),
        File::made_up("tests/a.rs", "use serde_it;"),
    ];
    assert_eq!(unused(&manifest, "[dependencies]", &["src/"], &code).len(), 1);
    assert_eq!(unused(&manifest, "[dependencies]", &["src/", "tests/"], &code).len(), 0);

    let (all, rust) = (tree::all(), tree::rust());
    for (path, shipped, others) in PACKAGES {
        let manifest = all.iter().find(|file| file.path == *path).expect("a manifest");
        assert!(
            !listed(&manifest.text, "[dependencies]").is_empty(),
            "{path}: the reader sees no dependency"
        );
        let mut findings = unused(manifest, "[dependencies]", &[shipped], &rust);
        let anywhere: Vec<&str> = others.iter().copied().chain([*shipped]).collect();
        findings.extend(unused(manifest, "[dev-dependencies]", &anywhere, &rust));
        expect_none(&findings);
    }
}
