//! Names and messages come from scenarios and targets, so they may hold anything: escape sequences for the terminal, markup for
//! a page, a megabyte on one line. Each format passes them through here before it shows them.

/// Longest piece of foreign text shown in a line, in characters: enough for any honest name, and a bound for the others.
pub const FOREIGN_CHARS_MAX: usize = 120;

/// One line without control characters or text-direction overrides, at most `chars_max` characters, cut with `…`.
pub fn line(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    for (written, c) in text.chars().enumerate() {
        if written + 1 >= chars_max && text.chars().nth(chars_max).is_some() {
            out.push('…');
            break;
        }
        out.push(if deceives(c) { '\u{fffd}' } else { c });
    }
    out
}

/// A name or message as it stands in a line of text.
pub fn name(text: &str) -> String {
    line(text, FOREIGN_CHARS_MAX)
}

/// Many lines without control characters (line ends and tabs stay), as the scenario is shown.
pub fn block(text: &str) -> String {
    text.chars().map(|c| if deceives(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// As [`name`], with everything that Markdown gives a meaning taken away from it: table bars, emphasis, links, tags, mentions.
pub fn markdown(text: &str) -> String {
    let mut out = String::new();
    for c in name(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' => {
                out.push('\\');
                out.push(c);
            }
            // A zero-width joiner keeps a mention from calling anybody and an issue number from linking.
            '@' | '#' => {
                out.push(c);
                out.push('\u{200d}');
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether a character acts on the reader's screen rather than showing on it.
fn deceives(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::{line, markdown, name};

    #[test]
    fn a_target_cannot_write_to_the_terminal() {
        assert_eq!(name("\u{1b}[2Jgone\r\n"), "\u{fffd}[2Jgone\u{fffd}\u{fffd}");
        assert_eq!(name("abc\u{202e}txt"), "abc\u{fffd}txt");
    }

    #[test]
    fn long_text_is_cut_on_characters_not_bytes() {
        assert_eq!(line("αβγδε", 5), "αβγδε");
        assert_eq!(line("αβγδεζ", 5), "αβγδ…");
        assert_eq!(name(&"x".repeat(1 << 20)).chars().count(), super::FOREIGN_CHARS_MAX);
    }

    #[test]
    fn markdown_keeps_its_table() {
        assert_eq!(markdown("a|b <b> @all"), "a\\|b &lt;b&gt; @\u{200d}all");
    }
}
