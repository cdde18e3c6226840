//! The text in which Prometheus is told metrics (exposition format 0.0.4, and what OpenMetrics 1.0 adds), line by line. The types and help of
//! metrics are passed over: what a figure is, whoever asks for it knows.

use crate::promql::Labels;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    /// When it was so, where the line says that, Unix seconds.
    pub unix_s: Option<f64>,
}

/// The last line of an OpenMetrics text, in which times are in seconds; else they are in milliseconds.
const OPEN_METRICS_END: &str = "# EOF";

/// All samples of a text.
///
/// # Errors
/// The first line that is none, by its number, and what is wrong there: a scrape with a broken line has others that cannot be trusted.
pub(super) fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let per_s = if text.trim_end().ends_with(OPEN_METRICS_END) { 1.0 } else { 1e3 };
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let samples = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    samples
        .map(|(number, line)| {
            sample(line, per_s).ok_or_else(|| {
                let shown: String = line.chars().take(80).collect();
                format!("line {number} is no sample: {shown}")
            })
        })
        .collect()
}

/// `name{label="value",…} value [time] [# exemplar]`; of a name that needs quotes, `{"name",label="value"} value`.
fn sample(line: &str, times_per_s: f64) -> Option<Sample> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (name, rest) = line.split_at(line.find(|c| !legal(c)).unwrap_or(line.len()));
    let (mut name, mut labels) = (name.to_owned(), Labels::new());
    let rest = match rest.trim_start().strip_prefix('{') {
        None => rest,
        Some(inside) => labelled(inside, &mut name, &mut labels)?,
    };
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut words = rest.split_whitespace();
    let value = number(words.next()?)?;
    // What may follow is a time, and behind `#` an exemplar.
    let unix_s = match words.next() {
        None | Some("#") => None,
        Some(word) => Some(word.parse::<f64>().ok()? / times_per_s),
    };
    // As Prometheus has it, a label without a value is none.
    labels.retain(|_, value| !value.is_empty());
    Some(Sample { name, labels, value, unix_s })
}

/// Takes in the labels up to `}`; yields what is behind it.
fn labelled<'t>(mut rest: &'t str, name: &mut String, labels: &mut Labels) -> Option<&'t str> {
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Some(behind);
        }
        let (label, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = rest.find(['=', '}', ','])?;
                (rest[..end].trim_end().to_owned(), &rest[end..])
            }
        };
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) => {
                let (value, after) = quoted(value.trim_start().strip_prefix('"')?)?;
                if label.is_empty() || labels.insert(label, value).is_some() {
                    return None;
                }
                after.trim_start()
            }
            // Only a name stands alone, and in quotes.
            None if name.is_empty() && rest.starts_with('"') => {
                *name = label;
                after
            }
            None => return None,
        };
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// The text up to the closing quote, and what is behind that. `\\`, `\"` and `\n` are what is escaped.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    None
}

/// As Go writes numbers: `NaN`, `+Inf` and `-Inf` too.
fn number(word: &str) -> Option<f64> {
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> (String, String, f64) {
        let samples = parse(line).expect(line);
        let [Sample { name, labels, value, .. }] = samples.as_slice() else { panic!("{samples:?}") };
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        (name.clone(), labels.join(" "), *value)
    }

    #[test]
    fn labels_hold_whatever_they_like() {
        let braces = one("http_requests_total{route=\"/a/{id}\",q=\"a=b,c\"} 3 1543182234000");
        assert_eq!(braces, ("http_requests_total".into(), "q=a=b,c route=/a/{id}".into(), 3.0));
        assert_eq!(one("a{b=\"x\\\\y\\\"z\\nw\",} 1e3").1, "b=x\\y\"z\nw");
        assert_eq!(one("job:a:rate5m 2"), ("job:a:rate5m".into(), String::new(), 2.0));
        assert_eq!(one("{\"my.metric\",le=\"+Inf\"} +Inf").0, "my.metric");
        assert_eq!(one("a_bucket { le = \"1\" } 7 # {trace_id=\"x\"} 0.5 1.5").2, 7.0);
        assert!(one("a NaN").2.is_nan());
        assert_eq!(one("a{b=\"\",c=\"d\"} 1").1, "c=d", "an empty label is none");
        assert_eq!(parse("# HELP a b\n# TYPE a counter\n\n# EOF\n"), Ok(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", near in "(a|_b|\\{|\\}|=|,|\"|\\\\|n|#| |1|\n|NaN|[+]Inf|EOF){0,30}") {
            for text in [text, near] {
                let _ = parse(&text);
            }
        }
    }

    #[test]
    fn a_broken_line_is_named() {
        for text in
            ["<html>", "a", "a b", "a{b} 1", "a{b=c} 1", "a{b=\"c} 1", "a{b=\"c\" 1", "1a 2", "a 1 x", "{} 1"]
        {
            let said = parse(&format!("# fine\nx 1\n{text}\n")).expect_err(text);
            assert!(said.starts_with("line 3 is no sample") && said.contains(text), "{said}");
        }
    }
}
