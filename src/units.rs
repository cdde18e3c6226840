//! Values with their units, as users write and read them: durations, rates, counts, percentages, sizes. Every value printed
//! here parses back to itself, and every refusal shows what would have been accepted.

use std::time::Duration;
use thiserror::Error;

pub const NANOS_PER_S: u64 = 1_000_000_000;

/// Why a text is not a value of the wanted kind, and examples of what is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct UnitError {
    pub message: String,
    pub help: &'static str,
}

const DURATION_HELP: &str = "durations have a unit: 250ms, 10s, 1m30s, 2h";
const RATE_HELP: &str = "rates have a unit: 200/s, 30/m, 12k/s";
const COUNT_HELP: &str = "counts are whole numbers: 500, 20k, 1.5M";
const PERCENT_HELP: &str = "shares have a percent sign: 1%, 0.5%, 95%";
const BYTES_HELP: &str = "sizes have a unit: 512B, 64KiB, 2GiB, 10MB";

const NS_PER_UNIT: [(&str, u128); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

const BYTES_PER_UNIT: [(&str, u128); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// `250ms`, `1.5s`, `1m30s`: units in falling order, exact to the nanosecond.
///
/// # Errors
/// No unit, an unknown unit, units out of order, more digits than nanoseconds can hold, or more than 584 years.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let refuse = |message: String| UnitError { message, help: DURATION_HELP };
    let mut rest = text;
    let mut total: u128 = 0;
    let mut smallest = u128::MAX;
    if text.is_empty() {
        return Err(refuse("an empty text is not a duration".into()));
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        if number.is_empty() {
            return Err(refuse(format!("`{text}` is not a duration")));
        }
        if unit.is_empty() {
            return Err(refuse(format!("`{text}` has no unit")));
        }
        let Some(&(_, ns)) = NS_PER_UNIT.iter().find(|(name, _)| *name == unit) else {
            return Err(refuse(format!("`{unit}` is not a unit of time")));
        };
        if ns >= smallest {
            return Err(refuse(format!("the units of `{text}` are out of order")));
        }
        smallest = ns;
        let part = exact(number, ns)
            .ok_or_else(|| refuse(format!("`{text}` is finer than a nanosecond or too large")))?;
        total = total.saturating_add(part);
        rest = next;
    }
    u64::try_from(total)
        .map(Duration::from_nanos)
        .map_err(|_| refuse(format!("`{text}` is longer than a run can be")))
}

/// A rate as events per second: `200/s`, `30/m`, `12k/s`.
///
/// # Errors
/// No `/s`, `/m` or `/h`, or no number before it.
pub fn rate_per_s(text: &str) -> Result<f64, UnitError> {
    let refuse = |message: String| UnitError { message, help: RATE_HELP };
    let Some((amount, per)) = text.split_once('/') else {
        return Err(refuse(format!("`{text}` has no unit")));
    };
    let seconds = match per.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        other => return Err(refuse(format!("`/{other}` is not a unit of rate"))),
    };
    let value = magnitude(amount.trim()).ok_or_else(|| refuse(format!("`{text}` is not a rate")))?;
    Ok(value / seconds)
}

/// A whole number with an optional `k` or `M`.
///
/// # Errors
/// Not a number, negative, or not whole after its suffix is applied.
pub fn count(text: &str) -> Result<u64, UnitError> {
    let refuse = || UnitError { message: format!("`{text}` is not a count"), help: COUNT_HELP };
    let (number, suffix) = split_number(text);
    let factor: u128 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        _ => return Err(refuse()),
    };
    exact(number, factor).and_then(|n| u64::try_from(n).ok()).ok_or_else(refuse)
}

/// A share as a ratio: `1%` is 0.01. Above 100 % is a legal value here; who asks decides.
///
/// # Errors
/// No percent sign or no number before it.
pub fn percent(text: &str) -> Result<f64, UnitError> {
    let refuse = |message: String| UnitError { message, help: PERCENT_HELP };
    let Some(number) = text.strip_suffix('%') else {
        return Err(refuse(format!("`{text}` has no percent sign")));
    };
    shift(number.trim_end(), -2).ok_or_else(|| refuse(format!("`{text}` is not a percentage")))
}

/// Bytes: `512B`, `64KiB` (1,024) or `10MB` (1,000,000).
///
/// # Errors
/// No unit, an unknown unit, or a fraction of a byte.
pub fn bytes(text: &str) -> Result<u64, UnitError> {
    let refuse = || UnitError { message: format!("`{text}` is not a size"), help: BYTES_HELP };
    let (number, unit) = split_number(text);
    let factor = BYTES_PER_UNIT.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?.1;
    exact(number, factor).and_then(|n| u64::try_from(n).ok()).ok_or_else(refuse)
}

/// A number with an optional `k` or `M`, as a float; `None` when it is not one.
pub fn magnitude(text: &str) -> Option<f64> {
    let (number, suffix) = split_number(text);
    match suffix {
        "" => shift(number, 0),
        "k" => shift(number, 3),
        "M" => shift(number, 6),
        _ => None,
    }
}

/// `text` times ten to `exponent`, rounded once: the reader of floats does the shift, so `0.3%` is exactly the literal 0.003.
pub fn shift(text: &str, exponent: i32) -> Option<f64> {
    if !is_decimal(text) {
        return None;
    }
    format!("{text}e{exponent}").parse().ok().filter(|value: &f64| value.is_finite())
}

/// The shortest decimal of `value` divided by ten to `exponent`, such that [`shift`] restores `value` bit by bit.
pub fn shifted(value: f64, exponent: i32) -> String {
    let text = format!("{value:e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power = power.parse::<i32>().unwrap_or(0) - exponent;
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).unwrap_or(1) + power;
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let body = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0)))
    } else if point >= length {
        format!("{digits}{}", "0".repeat(usize::try_from(point - length).unwrap_or(0)))
    } else {
        let (left, right) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{left}.{right}")
    };
    format!("{sign}{body}")
}

/// `1m30s`, `250ms`, `1.5s`, `0s`.
pub fn show_duration(value: Duration) -> String {
    let total = value.as_nanos();
    if total == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    let (hours, minutes) = (total / 3_600_000_000_000, total / 60_000_000_000 % 60);
    let rest = total % 60_000_000_000;
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    if rest > 0 {
        let (unit, ns) = match rest {
            r if r >= 1_000_000_000 || !text.is_empty() => ("s", 1_000_000_000),
            r if r >= 1_000_000 => ("ms", 1_000_000),
            r if r >= 1_000 => ("us", 1_000),
            _ => ("ns", 1),
        };
        let width = usize::try_from(u128::ilog10(ns)).unwrap_or(0);
        let fraction = format!("{:0width$}", rest % ns);
        let fraction = if ns == 1 { "" } else { fraction.trim_end_matches('0') };
        let point = if fraction.is_empty() { "" } else { "." };
        text.push_str(&format!("{}{point}{fraction}{unit}", rest / ns));
    }
    text
}

/// `200/s`, `12k/s`, `0.5/s`.
pub fn show_rate(per_s: f64) -> String {
    format!("{}/s", show_magnitude(per_s))
}

/// `500`, `20k`, `1500k`, `2M`: a suffix only where it loses nothing.
pub fn show_count(value: u64) -> String {
    match value {
        0 => "0".into(),
        v if v.is_multiple_of(1_000_000) => format!("{}M", v / 1_000_000),
        v if v.is_multiple_of(1_000) => format!("{}k", v / 1_000),
        v => v.to_string(),
    }
}

/// To three significant figures: more of an estimate would only look exact.
pub fn three_figures(value: f64) -> f64 {
    let last = 10_f64.powf(value.abs().max(f64::MIN_POSITIVE).log10().floor() - 2.0);
    (value / last).round() * last
}

/// The shortest decimal, with `k` or `M` where the value is a whole number of them.
pub fn show_magnitude(value: f64) -> String {
    if value != 0.0 && value % 1e6 == 0.0 {
        format!("{}M", shifted(value, 6))
    } else if value != 0.0 && value % 1e3 == 0.0 {
        format!("{}k", shifted(value, 3))
    } else {
        shifted(value, 0)
    }
}

/// `1%`, `0.5%`.
pub fn show_percent(ratio: f64) -> String {
    format!("{}%", shifted(ratio, -2))
}

/// `64KiB`, `10MB`, `513B`: the largest unit of which it is a whole number.
pub fn show_bytes(value: u64) -> String {
    let value = u128::from(value);
    BYTES_PER_UNIT
        .iter()
        .find(|(_, size)| value > 0 && value.is_multiple_of(*size))
        .map_or_else(|| format!("{value}B"), |(unit, size)| format!("{}{unit}", value / size))
}

/// The leading decimal number and what follows it.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// `number` × `scale` when that is a whole number; integers all the way.
fn exact(number: &str, scale: u128) -> Option<u128> {
    if !is_decimal(number) {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let product = digits.checked_mul(scale)?;
    product.is_multiple_of(divisor).then(|| product / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn durations_read_as_written() {
        let ns = |text| duration(text).map(|d| d.as_nanos());
        assert_eq!(ns("250ms"), Ok(250_000_000));
        assert_eq!(ns("1m30s"), Ok(90_000_000_000));
        assert_eq!(ns("1.5s"), Ok(1_500_000_000));
        assert_eq!(ns("0.000000001s"), Ok(1));
        assert_eq!(ns("1h"), Ok(3_600_000_000_000));
        for bad in
            ["", "5", "s", "5x", "1s1m", "1s1s", "0.1ns", "1..5s", "-5s", "1e3s", " 5s", "99999999999d"]
        {
            let error = duration(bad).expect_err(bad);
            assert!(error.help.contains("1m30s"), "{bad}");
        }
    }

    #[test]
    fn rates_counts_shares_and_sizes_read_as_written() {
        assert_eq!(rate_per_s("30/m"), Ok(0.5));
        assert_eq!(rate_per_s("12k/s"), Ok(12_000.0));
        assert_eq!(count("1.5M"), Ok(1_500_000));
        assert_eq!(percent("0.3%"), Ok(0.003));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1.5kB"), Ok(1_500));
        assert!(rate_per_s("200").is_err() && rate_per_s("/s").is_err() && rate_per_s("2/x").is_err());
        assert!(count("1.5").is_err() && count("-1").is_err() && count("1K").is_err() && count("").is_err());
        assert!(percent("1").is_err() && percent("%").is_err() && bytes("64").is_err());
    }

    #[test]
    fn values_print_as_people_write_them() {
        assert_eq!(show_duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(show_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(show_duration(Duration::from_millis(250)), "250ms");
        assert_eq!(show_rate(12_000.0), "12k/s");
        assert_eq!(show_percent(0.003), "0.3%");
        assert_eq!(show_bytes(65_536), "64KiB");
        assert_eq!(show_count(1_500_000), "1500k");
    }

    proptest! {
        #[test]
        fn printing_then_parsing_is_identity(ns in any::<u64>(), n in any::<u64>(), value in 0.0f64..1e12) {
            prop_assert_eq!(duration(&show_duration(Duration::from_nanos(ns))), Ok(Duration::from_nanos(ns)));
            prop_assert_eq!(count(&show_count(n)), Ok(n));
            prop_assert_eq!(bytes(&show_bytes(n)), Ok(n));
            prop_assert_eq!(rate_per_s(&show_rate(value)), Ok(value));
            prop_assert_eq!(percent(&show_percent(value)), Ok(value));
            prop_assert_eq!(magnitude(&show_magnitude(value)), Some(value));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = (duration(&text), rate_per_s(&text), count(&text), percent(&text), bytes(&text));
        }
    }
}
