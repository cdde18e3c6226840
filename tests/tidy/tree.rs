//! The files of this repository as the rules see them: a path relative to its root, the text, and for Rust the part of the text that
//! is neither a comment nor a test.

use regex::Regex;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// What holds nothing of ours: what builds and runs leave behind, and version control (a file in a second work tree).
const NOT_OURS: &[&str] = &["target", ".git", "node_modules", "__pycache__", "corpus", "artifacts"];

/// Of `reports` only this belongs to the repository; the rest is what runs left there.
const REPORTS: &str = "reports";
const REPORTS_KEPT: &str = "README.md";

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// A file that exists only in a test of a rule.
    pub(crate) fn made_up(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// The lines that are code, with their numbers; comment lines are left out.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        lines(&self.text).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The code before `#[cfg(test)] mod tests {…}`, which stands last in a file.
    pub(crate) fn code_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = inline_tests_start(&self.text).unwrap_or(usize::MAX);
        self.code().take_while(move |(number, _)| *number < end)
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn inline_tests_start(text: &str) -> Option<usize> {
    let all: Vec<&str> = text.lines().collect();
    let opens = |line: &str| line.contains("mod ") && line.trim_end().ends_with('{');
    all.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && opens(pair[1])).map(|index| index + 1)
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository.
pub(crate) fn all() -> Vec<File> {
    let mut files = Vec::new();
    walk(root(), &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 100, "the walk found only {} files: it does not see the tree", files.len());
    files
}

/// Every Rust file.
pub(crate) fn rust() -> Vec<File> {
    all().into_iter().filter(File::is_rust).collect()
}

/// The files of the crate `plimsoll` that are compiled into the executable: those of `src` that are not modules of tests.
pub(crate) fn shipped() -> Vec<File> {
    let files: Vec<File> = rust().into_iter().filter(|file| file.path.starts_with("src/")).collect();
    without_test_modules(files)
}

/// Leaves out the files that are declared under `#[cfg(test)] mod NAME;`, and what lies below them.
pub(crate) fn without_test_modules(files: Vec<File>) -> Vec<File> {
    let declared = Regex::new(
        r#"#\[cfg\(test\)\]\n(?:#\[path = "(?<path>[^"]+)"\]\n)?(?:pub(?:\([^)]*\))? )?mod (?<name>\w+);"#,
    )
    .expect("a pattern");
    let mut tests = HashSet::new();
    for file in &files {
        let stem = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for found in declared.captures_iter(&file.text) {
            tests.insert(match found.name("path") {
                Some(path) => format!("{folder}/{}", path.as_str().trim_end_matches(".rs")),
                None => format!("{stem}/{}", &found["name"]),
            });
        }
    }
    let is_test = |path: &str| {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")))
    };
    files.into_iter().filter(|file| !is_test(&file.path)).collect()
}

fn walk(dir: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()));
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().expect("the kind of a file just listed");
        if kind.is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                walk(&path, files);
            }
        } else if kind.is_file() && !NOT_OURS.contains(&name.as_str()) && !left_by_a_run(&path, &name) {
            // What is not UTF-8 is a picture or the like, and holds no rule of ours.
            if let Ok(text) = fs::read_to_string(&path) {
                files.push(File { path: relative(&path), text });
            }
        }
    }
}

fn left_by_a_run(path: &Path, name: &str) -> bool {
    let inside = path.strip_prefix(root().join(REPORTS));
    inside.is_ok_and(|inside| inside != Path::new(REPORTS_KEPT)) || name.ends_with(".snap.new")
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("the walk starts at the root").to_string_lossy().replace('\\', "/")
}

/// Ends the test with every finding, one a line.
#[track_caller]
pub(crate) fn expect_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn tests_and_comments_are_not_code() {
    let file =
        File::made_up("src/a.rs", "//! head\nlet a;\n  // said\n#[cfg(test)]\nmod tests {\n    let b;\n}\n");
    assert_eq!(file.code_without_tests().map(|(number, _)| number).collect::<Vec<_>>(), [2]);
    assert_eq!(file.code().map(|(number, _)| number).collect::<Vec<_>>(), [2, 4, 5, 6, 7]);
}

#[test]
fn modules_declared_for_tests_are_left_out_with_all_below_them() {
    let files = vec![
        File::made_up("src/a/mod.rs", "#[cfg(test)]\npub(crate) mod bed;\nmod kept;\n"),
        File::made_up("src/a/bed.rs", ""),
        File::made_up("src/a/bed/deep.rs", ""),
        File::made_up(
            "src/a/kept.rs",
            "#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"b.rs\"]\nmod c;\n",
        ),
        File::made_up("src/a/b.rs", ""),
        File::made_up("src/a/kept/tests.rs", ""),
    ];
    let left: Vec<String> = without_test_modules(files).into_iter().map(|file| file.path).collect();
    assert_eq!(left, ["src/a/mod.rs", "src/a/kept.rs"]);
}
