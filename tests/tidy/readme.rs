//! Help that is copied by hand rots. Between `<!-- help:plimsoll find -->` and `<!-- /help -->` README.md holds, in a code fence, what
//! `plimsoll find --help` prints; `UPDATE_README=1 cargo test --test tidy` writes it there.

use crate::tree;
use std::process::Command;

const README: &str = "README.md";
const OPEN: &str = "<!-- help:plimsoll";
const CLOSE: &str = "<!-- /help -->";

/// Every help block of a page: the words after `plimsoll`, and where in the text its content stands.
fn blocks(page: &str) -> Vec<(Vec<&str>, std::ops::Range<usize>)> {
    let mut blocks = Vec::new();
    let mut from = 0;
    while let Some(open) = page[from..].find(OPEN).map(|at| at + from) {
        let words_end = page[open..].find("-->").map_or(page.len(), |at| at + open);
        let words = page[open + OPEN.len()..words_end].split_whitespace().collect();
        let begin = (words_end + "-->".len()).min(page.len());
        let end = page[begin..].find(CLOSE).map_or(page.len(), |at| at + begin);
        blocks.push((words, begin..end));
        from = end;
    }
    blocks
}

/// What stands between the markers when it is right.
fn block_of(help: &str) -> String {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    format!("\n```\n{}\n```\n", lines.join("\n"))
}

/// The page with every block replaced by what `help` says.
fn renewed(page: &str, help: impl Fn(&[&str]) -> String) -> String {
    let mut renewed = page.to_owned();
    // From the last to the first, so that the places of those before stay right.
    for (words, place) in blocks(page).into_iter().rev() {
        renewed.replace_range(place, &block_of(&help(&words)));
    }
    renewed
}

/// Neither the size of a terminal nor color may change what is compared.
fn real_help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(words)
        .arg("--help")
        .env_remove("COLUMNS")
        .env_remove("LINES")
        .env_remove("CLICOLOR_FORCE")
        .output()
        .expect("the executable starts");
    assert!(output.status.success(), "plimsoll {words:?} --help ends with {}", output.status);
    String::from_utf8(output.stdout).expect("help is text")
}

#[test]
fn the_readme_shows_the_real_help() {
    let page = "a\n<!-- help:plimsoll find -->\n```\nold\n```\n<!-- /help -->\nz\n";
    let made_up = renewed(page, |words| format!("help of {}  \n", words.join("+")));
    assert_eq!(made_up, "a\n<!-- help:plimsoll find -->\n```\nhelp of find\n```\n<!-- /help -->\nz\n");
    assert_eq!(renewed(&made_up, |_| "help of find".to_owned()), made_up, "what is right stays as it is");

    let path = tree::root().join(README);
    let page = std::fs::read_to_string(&path).expect("README.md");
    assert!(blocks(&page).iter().any(|(words, _)| words.is_empty()), "README.md has no `{OPEN} -->` block");
    let right = renewed(&page, real_help);
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, &right).expect("README.md can be written");
    } else {
        assert!(
            page == right,
            "README.md shows another help than the program: UPDATE_README=1 cargo test --test tidy"
        );
    }
}
