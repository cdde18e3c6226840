//! How deep the brackets of a query are nested, before it is parsed. The parser goes down into values as deep as they are, and some fifteen
//! hundred brackets, which fit a request many times over, would end the process with its stack.

/// Brackets within brackets; the query for the schema has 14, and the parser takes 64 levels of fields.
const NESTING_MAX: usize = 128;

/// Whether there are more brackets within brackets than may be. Those in strings and comments are none; where a string does not end nobody knows
/// what is in it.
pub(crate) fn is_too_nested(query: &str) -> bool {
    let (mut rest, mut depth) = (query.as_bytes(), 0_usize);
    while let [first, after @ ..] = rest {
        let behind = match first {
            b'"' if after.starts_with(b"\"\"") => behind_string(&after[2..], b"\"\"\""),
            b'"' => behind_string(after, b"\""),
            b'#' => after.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|end| &after[end..]),
            _ => Some(after),
        };
        match first {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match behind {
            Some(behind) if depth <= NESTING_MAX => rest = behind,
            None if *first == b'#' => return false,
            Some(_) | None => return true,
        }
    }
    false
}

/// What comes after a string that ends with these quotes. After a backslash they are no end, nor is in a string on one line another backslash.
fn behind_string<'a>(text: &'a [u8], quotes: &[u8]) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        if let Some(behind) = rest.strip_prefix(quotes) {
            return Some(behind);
        }
        let (first, after) = rest.split_first()?;
        rest = match after.strip_prefix(quotes) {
            Some(behind) if *first == b'\\' => behind,
            _ if *first == b'\\' && quotes.len() == 1 => after.get(1..)?,
            _ => after,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{NESTING_MAX, is_too_nested};

    fn nested(open: &str, close: &str, times: usize) -> String {
        format!("{}{}", open.repeat(times), close.repeat(times))
    }

    #[test]
    fn brackets_within_brackets_are_counted_and_those_beside_each_other_are_not() {
        for (open, close) in [("[", "]"), ("{", "}"), ("(", ")"), ("{ a(b: [1]) ", "}")] {
            assert!(!is_too_nested(&nested(open, close, NESTING_MAX - 2)), "{open}");
            assert!(is_too_nested(&nested(open, close, NESTING_MAX + 1)), "{open}");
            assert!(is_too_nested(&open.repeat(NESTING_MAX + 1)), "{open}");
        }
        assert!(!is_too_nested(&"{ a(b: [1]) }".repeat(1_000)));
        assert!(!is_too_nested(&"]".repeat(1_000)));
    }

    #[test]
    fn nothing_in_a_string_or_a_comment_opens_or_closes_anything() {
        for word in [r#""[[""#, r#""\\""#, r#""\"[""#, r#""""[" \""" [""""#, "# [ \" \\\n", r#""""#] {
            assert!(!is_too_nested(&format!("{word} ").repeat(500)), "{word}");
        }
        for word in [
            r#""]""#,
            r#""\"]""#,
            r#""\\""#,
            r#""""]" \""" ]""""#,
            r#""""\"""" ] """"#,
            "# ] \" \\\n",
            "# ]\r",
        ] {
            assert!(is_too_nested(&format!("[{word}").repeat(NESTING_MAX + 1)), "{word}");
        }
        // Where the long quotes do not end the parser takes them for an empty string and the beginning of another.
        assert!(is_too_nested(&format!(r#"[""" x"{}"#, "[".repeat(NESTING_MAX))));
        assert!(is_too_nested("{ a(b: \"") && !is_too_nested("{ a } # ["));
    }
}
