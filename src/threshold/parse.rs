//! The threshold grammar, read by hand so that every refusal points at its word and says what belongs there.

use super::{Lasting, Op, Selector, Stat, Threshold, Which};
use crate::endpoint::Protocol;
use crate::units;

/// What is wrong with bytes `offset..offset+len` of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ThresholdError {
    pub offset: usize,
    pub len: usize,
    pub message: String,
    pub help: String,
}

const STATS: &str =
    "a threshold begins with p50…p99.99, max, mean, error_rate, rate, dropped, count, used, waiting or value";
const SELECTORS: &str =
    "select requests with http, ws, ws.lag, sse or sse.lag, as in p99(http{name=login}) or p99(service:http)";
const TAIL: &str = "after the value stands `in PHASE`, `for 15s` or `for 95% of 10s windows`";

/// Reads one threshold.
///
/// # Errors
/// The first word that does not fit, with what was expected.
pub fn parse(text: &str) -> Result<Threshold, ThresholdError> {
    let mut reader = Reader { text, at: 0 };
    let (stat_start, word) = reader.word();
    let mut stat =
        stat(word).ok_or_else(|| reader.refuse(stat_start, word.len(), stat_message(word), STATS))?;
    let selector = reader.selector(stat, stat_start, word)?;
    let op = reader.op()?;
    let value = reader.value(&mut stat)?;
    let (mut phase, mut lasting) = (None, None);
    loop {
        let (start, word) = reader.word();
        match word {
            "" if reader.rest().is_empty() => break,
            "in" if phase.is_none() => {
                let (start, name) = reader.word();
                if name.is_empty() {
                    return Err(reader.refuse(start, 1, "`in` needs the name of a phase", TAIL));
                }
                phase = Some(name.to_owned());
            }
            "for" if lasting.is_none() => lasting = Some(reader.lasting()?),
            _ => {
                let rest = text.len() - start;
                return Err(reader.refuse(
                    start,
                    rest,
                    format!("`{}` does not belong here", &text[start..]),
                    TAIL,
                ));
            }
        }
    }
    Ok(Threshold { text: text.trim().to_owned(), stat, selector, op, value, phase, lasting })
}

fn stat(word: &str) -> Option<Stat> {
    Some(match word {
        "max" => Stat::Max,
        "mean" => Stat::Mean,
        "error_rate" => Stat::ErrorRate,
        "rate" => Stat::Rate,
        "dropped" => Stat::Dropped { ratio: false },
        "count" => Stat::Count,
        "used" => Stat::Used { ratio: false },
        "waiting" => Stat::Waiting,
        "value" => Stat::Value { ratio: false },
        _ => {
            let percent = word.strip_prefix('p')?;
            let q = units::shift(percent, -2)?;
            return (0.0 < q && q < 1.0).then_some(Stat::Percentile(q));
        }
    })
}

/// What `used`, `waiting` and `value` are of.
fn about(stat: Stat) -> &'static str {
    if matches!(stat, Stat::Value { .. }) { "signal" } else { "resource" }
}

fn example(stat: Stat) -> &'static str {
    if matches!(stat, Stat::Value { .. }) { "error_ratio" } else { "mongodb.pool" }
}

fn stat_message(word: &str) -> String {
    match word {
        "" => "a threshold is missing here".into(),
        "p" => "percentiles are written p99, not p(99)".into(),
        "avg" => "`avg` is written `mean` here".into(),
        "med" | "median" => format!("`{word}` is written `p50` here"),
        "p100" => "`p100` is written `max` here".into(),
        _ => format!("`{word}` is not a statistic"),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The next word (letters, digits, `_ . -`) and where it starts.
    fn word(&mut self) -> (usize, &'t str) {
        self.space();
        let start = self.at;
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_alphanumeric() || "_.-".contains(c))).unwrap_or(rest.len());
        self.at += length;
        (start, &rest[..length])
    }

    /// The next text up to a blank and where it starts.
    fn until_blank(&mut self) -> (usize, &'t str) {
        self.space();
        let start = self.at;
        let rest = self.rest();
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.at += length;
        (start, &rest[..length])
    }

    fn refuse(
        &self,
        offset: usize,
        len: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> ThresholdError {
        ThresholdError { offset, len: len.max(1), message: message.into(), help: help.into() }
    }

    fn selector(&mut self, stat: Stat, stat_start: usize, word: &str) -> Result<Selector, ThresholdError> {
        self.space();
        let open = self.at;
        let about_resource = matches!(stat, Stat::Used { .. } | Stat::Waiting | Stat::Value { .. });
        let latency = matches!(stat, Stat::Percentile(_) | Stat::Max | Stat::Mean);
        if !self.rest().starts_with('(') {
            return match stat {
                _ if latency => Err(self.refuse(
                    stat_start,
                    word.len(),
                    format!("`{word}` of what?"),
                    format!("write {word}(http)"),
                )),
                _ if about_resource => Err(self.refuse(
                    stat_start,
                    word.len(),
                    format!("`{word}` of which {}?", about(stat)),
                    format!("write {word}({})", example(stat)),
                )),
                _ => Ok(Selector::All),
            };
        }
        if matches!(stat, Stat::Dropped { .. }) {
            return Err(self.refuse(
                open,
                self.text.len() - open,
                "`dropped` counts arrivals of the whole load",
                "write dropped < 0.1%",
            ));
        }
        self.at += 1;
        if about_resource {
            // A pool may be called by its address: whatever stands before the `)`.
            self.space();
            let (start, rest) = (self.at, self.rest());
            let name = rest.split_once(')').map_or("", |(name, _)| name.trim_end());
            if name.is_empty() {
                if !rest.is_empty() && !rest.contains(')') {
                    self.at = self.text.len();
                    self.close()?;
                }
                return Err(self.refuse(
                    start,
                    1,
                    format!("the name of a {} was expected", about(stat)),
                    format!("write {word}({})", example(stat)),
                ));
            }
            self.at += name.len();
            self.close()?;
            return Ok(Selector::Resource(name.to_owned()));
        }
        let (mut start, mut name) = self.word();
        let mut clock = Which::Response;
        if self.rest().starts_with(':') {
            clock = match name {
                "service" => Which::Service,
                "response" => Which::Response,
                _ => {
                    return Err(self.refuse(
                        start,
                        name.len(),
                        format!("`{name}:` is not a clock"),
                        SELECTORS,
                    ));
                }
            };
            self.at += 1;
            (start, name) = self.word();
        }
        let protocol = match name {
            "http" => Protocol::Http,
            "ws" => Protocol::Ws,
            "ws.lag" => Protocol::WsLag,
            "sse" => Protocol::Sse,
            "sse.lag" => Protocol::SseLag,
            _ => {
                return Err(self.refuse(start, name.len(), format!("`{name}` is not a protocol"), SELECTORS));
            }
        };
        let name = self.label()?;
        self.close()?;
        Ok(Selector::Requests { clock, protocol, name })
    }

    fn label(&mut self) -> Result<Option<String>, ThresholdError> {
        self.space();
        if !self.rest().starts_with('{') {
            return Ok(None);
        }
        let open = self.at;
        self.at += 1;
        let (start, key) = self.word();
        self.space();
        if key != "name" || !self.rest().starts_with('=') {
            return Err(self.refuse(start, key.len(), "only `name=` selects requests", SELECTORS));
        }
        self.at += 1;
        self.space();
        let quote = self.rest().chars().next().filter(|c| "\"'".contains(*c));
        let from = self.at + usize::from(quote.is_some());
        let Some(length) = self.text[from..].find(quote.unwrap_or('}')) else {
            return Err(self.refuse(open, self.text.len() - open, "this `{` is never closed", SELECTORS));
        };
        let name = self.text[from..from + length].to_owned();
        self.at = from + length + usize::from(quote.is_some());
        self.space();
        if name.trim().is_empty() || !self.rest().starts_with('}') {
            return Err(self.refuse(open, self.at - open, "this is not the name of a request", SELECTORS));
        }
        self.at += 1;
        Ok(Some(if quote.is_some() { name } else { name.trim().to_owned() }))
    }

    fn close(&mut self) -> Result<(), ThresholdError> {
        self.space();
        if self.rest().starts_with(')') {
            self.at += 1;
            return Ok(());
        }
        let length = self.text.len() - self.at;
        Err(self.refuse(self.at, length, "a `)` was expected here", SELECTORS))
    }

    fn op(&mut self) -> Result<Op, ThresholdError> {
        self.space();
        let start = self.at;
        let rest = self.rest();
        let length = rest.find(|c: char| !"<>=!".contains(c)).unwrap_or(rest.len());
        self.at += length;
        Ok(match &rest[..length] {
            "<" => Op::Less,
            "<=" => Op::LessOrEqual,
            ">" => Op::Greater,
            ">=" => Op::GreaterOrEqual,
            "==" => Op::Equal,
            "!=" => Op::NotEqual,
            _ => {
                return Err(self.refuse(
                    start,
                    length,
                    "a comparison was expected here",
                    "write <, <=, >, >=, == or !=",
                ));
            }
        })
    }

    fn value(&mut self, stat: &mut Stat) -> Result<f64, ThresholdError> {
        let (start, text) = self.until_blank();
        let refuse = |help: &str| {
            self.refuse(start, text.len(), format!("`{text}` is not a value of this statistic"), help)
        };
        match stat {
            Stat::Percentile(_) | Stat::Max | Stat::Mean => {
                nanoseconds(text).ok_or_else(|| refuse("times have a unit: 300ms, 1.5s"))
            }
            Stat::ErrorRate if text == "0" => Ok(0.0),
            Stat::ErrorRate => units::percent(text).map_err(|error| refuse(error.help)),
            Stat::Rate => units::rate_per_s(text).map_err(|error| refuse(error.help)),
            Stat::Dropped { ratio } | Stat::Used { ratio } | Stat::Value { ratio } if text.ends_with('%') => {
                *ratio = true;
                units::percent(text).map_err(|error| refuse(error.help))
            }
            // 2^53 bytes is where floats stop counting singly; no memory is that large.
            Stat::Used { .. } if text.ends_with('B') => {
                units::bytes(text).map(|b| b as f64).map_err(|error| refuse(error.help))
            }
            Stat::Dropped { .. } | Stat::Used { .. } | Stat::Value { .. } | Stat::Count | Stat::Waiting => {
                units::magnitude(text).ok_or_else(|| refuse("a number was expected, such as 0, 12 or 20k"))
            }
        }
    }

    fn lasting(&mut self) -> Result<Lasting, ThresholdError> {
        let (start, text) = self.until_blank();
        if !text.ends_with('%') {
            let span =
                units::duration(text).map_err(|error| self.refuse(start, text.len(), error.message, TAIL))?;
            if span.subsec_nanos() != 0 || span.is_zero() {
                return Err(self.refuse(start, text.len(), "`for` counts whole seconds", TAIL));
            }
            return Ok(Lasting::For(span));
        }
        let share =
            units::percent(text).map_err(|error| self.refuse(start, text.len(), error.message, TAIL))?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(self.refuse(
                start,
                text.len(),
                "a share of the windows lies above 0% and up to 100%",
                TAIL,
            ));
        }
        let (of_start, of) = self.until_blank();
        let (window_start, window) = self.until_blank();
        let (last_start, last) = self.until_blank();
        if of != "of" {
            return Err(self.refuse(of_start, of.len(), "`of` was expected here", TAIL));
        }
        let window = units::duration(window)
            .map_err(|error| self.refuse(window_start, window.len(), error.message, TAIL))?;
        if window.subsec_nanos() != 0 || window.is_zero() {
            return Err(self.refuse(
                window_start,
                last_start - window_start,
                "windows are whole seconds long",
                TAIL,
            ));
        }
        if last != "windows" {
            return Err(self.refuse(last_start, last.len(), "`windows` was expected here", TAIL));
        }
        Ok(Lasting::ShareOfWindows { share, window })
    }
}

/// Nanoseconds as a float; decimal units are shifted by the float reader, so they print back exactly.
fn nanoseconds(text: &str) -> Option<f64> {
    for (unit, exponent) in [("ms", 6), ("us", 3), ("µs", 3), ("ns", 0), ("s", 9)] {
        if let Some(value) = text.strip_suffix(unit).and_then(|number| units::shift(number, exponent)) {
            return Some(value);
        }
    }
    units::duration(text).ok().map(|span| span.as_nanos() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use std::time::Duration;

    fn caret(text: &str) -> String {
        let error = parse(text).expect_err(text);
        format!(
            "{text}\n{}{} {}\nhelp: {}",
            " ".repeat(error.offset),
            "^".repeat(error.len),
            error.message,
            error.help
        )
    }

    #[test]
    fn the_examples_of_the_language_read() {
        for text in [
            "p99(http) < 300ms in peak",
            "p99(http{name=place-order}) < 800ms in peak",
            "p95(service:http{name=product}) < 60ms in peak",
            "p99(http) < 400ms for 95% of 10s windows in peak",
            "p99(ws{name=subscribe-ack}) < 500ms",
            "p99(ws.lag{name=tick}) < 1s in peak",
            "error_rate(http) < 0.5% in peak",
            "dropped < 0.1%",
            "used(mongodb.pool) < 90% in peak",
            "waiting(mongodb.pool) == 0 in peak",
            "error_rate > 50% for 15s",
            "value(errors) > 0.01 for 1m",
            "value(memory) < 80% for 100% of 10s windows in peak",
            "p99.9(http) <= 1.5s",
        ] {
            let threshold = parse(text).expect(text);
            assert_eq!(threshold.to_string(), text);
        }
        assert_eq!(parse("p99 (http) in peak < 1s").map_err(|e| e.offset), Err(11));
    }

    #[test]
    fn refusals_point_at_the_word() {
        let all: Vec<String> = [
            "p(99) < 400",
            "avg(http) < 1s",
            "p99 < 300ms",
            "p99(http) < 300",
            "p99(htttp) < 3s",
            "p99(http{id=x}) < 3s",
            "used < 9%",
            "value > 0.5",
            "value(",
            "dropped(http) > 0",
            "error_rate => 1%",
            "error_rate < 1",
            "rate > 5",
            "p99(http) < 3s at peak",
            "p99(http) < 3s for 95%",
            "p99(http) < 3s for 0.5s",
            "p99(http{name=x < 3s",
            "",
        ]
        .iter()
        .map(|text| caret(text))
        .collect();
        insta::assert_snapshot!(all.join("\n\n"));
    }

    fn threshold() -> BoxedStrategy<Threshold> {
        let name = proptest::option::of("[a-z][a-z /{]{0,8}[a-z]");
        let requests =
            (any::<bool>(), 0..3usize, name).prop_map(|(service, protocol, name)| Selector::Requests {
                clock: if service { Which::Service } else { Which::Response },
                protocol: [Protocol::Http, Protocol::Ws, Protocol::WsLag][protocol],
                name,
            });
        let resource = "[a-z][a-z.]{0,8}".prop_map(Selector::Resource);
        let time =
            prop_oneof![(0.001f64..0.9999).prop_map(Stat::Percentile), Just(Stat::Max), Just(Stat::Mean)];
        let plain = prop_oneof![Just(Stat::ErrorRate), Just(Stat::Rate), Just(Stat::Count)];
        let shape = prop_oneof![
            (time, requests.clone()).boxed(),
            (plain.clone(), requests).boxed(),
            (plain, Just(Selector::All)).boxed(),
            (any::<bool>().prop_map(|ratio| Stat::Dropped { ratio }), Just(Selector::All)).boxed(),
            (any::<bool>().prop_map(|ratio| Stat::Used { ratio }), resource.clone()).boxed(),
            (any::<bool>().prop_map(|ratio| Stat::Value { ratio }), resource.clone()).boxed(),
            (Just(Stat::Waiting), resource).boxed(),
        ];
        let op = prop_oneof![
            Just(Op::Less),
            Just(Op::LessOrEqual),
            Just(Op::Greater),
            Just(Op::GreaterOrEqual),
            Just(Op::Equal),
            Just(Op::NotEqual)
        ];
        let seconds = (1..1_000_000u64).prop_map(Duration::from_secs);
        let lasting = proptest::option::of(prop_oneof![
            seconds.clone().prop_map(Lasting::For),
            (0.001f64..=1.0, seconds).prop_map(|(share, window)| Lasting::ShareOfWindows { share, window }),
        ]);
        (shape, op, 0.0f64..1e13, proptest::option::of("[a-z][a-z0-9_-]{0,8}"), lasting)
            .prop_map(|((stat, selector), op, value, phase, lasting)| {
                let mut threshold =
                    Threshold { text: String::new(), stat, selector, op, value, phase, lasting };
                threshold.text = threshold.to_string();
                threshold
            })
            .boxed()
    }

    proptest! {
        #[test]
        fn printing_then_parsing_is_identity(threshold in threshold()) {
            prop_assert_eq!(parse(&threshold.text), Ok(threshold));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", near in "(p99|used|error_rate)[({=}) <>a-z0-9%]{0,30}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
