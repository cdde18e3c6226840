//! How numbers are written for people, in every format alike: three significant digits, thousands separated, a unit beside each,
//! and a dash where there is no number, so that `NaN` never reaches a reader.

/// What stands where a number would be when there is none.
pub const NO_NUMBER: &str = "–";

/// A whole count with thousands separated: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 agent`, `2 agents`: a count of a thing whose plural takes an s.
pub fn counted(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Three significant digits and no exponent: `0.0123`, `1.23`, `12.3`, `123`, `12,345`; trailing zeros of a fraction are dropped.
pub fn quantity(value: f64) -> String {
    if !value.is_finite() {
        return NO_NUMBER.into();
    }
    if value < 0.0 {
        return format!("−{}", quantity(-value));
    }
    if value >= 99.95 {
        return count(value.round() as u64);
    }
    let decimals = match value {
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Four significant digits, with a power of ten where the value is far below 1: `0.02773`, `1.044e-4`, `90.00`, `12,342`.
pub fn coefficient(value: f64) -> String {
    if !value.is_finite() {
        return NO_NUMBER.into();
    }
    match value.abs() {
        0.0 => "0".into(),
        ..0.01 => format!("{value:.3e}").replace('-', "−").replacen("e−", "e-", 1),
        999.95.. => format!("{}{}", if value < 0.0 { "−" } else { "" }, count(value.abs().round() as u64)),
        size => {
            let decimals = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
            format!("{value:.decimals$}").replace('-', "−")
        }
    }
}

/// Two significant digits, for predictions that deserve no more: `4,100`, `87`, `8.1`.
pub fn about(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return quantity(value);
    }
    let unit = 10f64.powf(value.abs().log10().floor() - 1.0);
    quantity((value / unit).round() * unit)
}

/// A latency given in milliseconds: `0.42 ms`, `12.3 ms`, `1.23 s`.
pub fn ms(value_ms: f64) -> String {
    if value_ms.is_finite() && value_ms.abs() >= 999.5 {
        format!("{} s", quantity(value_ms / 1000.0))
    } else if value_ms.is_finite() {
        format!("{} ms", quantity(value_ms))
    } else {
        NO_NUMBER.into()
    }
}

/// A span of time given in seconds: `4.2 s`, `2 min 30 s`, `1 h 05 min`.
pub fn span(value_s: f64) -> String {
    if !value_s.is_finite() {
        return NO_NUMBER.into();
    }
    let whole_s = value_s.round().max(0.0) as u64;
    match whole_s {
        0..60 => format!("{} s", quantity(value_s.max(0.0))),
        60..3600 if whole_s.is_multiple_of(60) => format!("{} min", whole_s / 60),
        60..3600 => format!("{} min {} s", whole_s / 60, whole_s % 60),
        _ => format!("{} h {:02} min", whole_s / 3600, whole_s % 3600 / 60),
    }
}

/// A moment of the run as a clock shows it: `1:30`, `1:05:00`.
pub fn clock(value_s: f64) -> String {
    let whole_s = if value_s.is_finite() { value_s.round().max(0.0) as u64 } else { 0 };
    let (hours, minutes, seconds) = (whole_s / 3600, whole_s % 3600 / 60, whole_s % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Per second: `512/s`.
pub fn rate(per_s: f64) -> String {
    if per_s.is_finite() { format!("{}/s", quantity(per_s)) } else { NO_NUMBER.into() }
}

/// A ratio as a percentage. Never rounds up to 100 % or down to 0 % what is not: 0.9999 is `99.99 %`, 0.000001 is `< 0.01 %`.
pub fn percent(ratio: f64) -> String {
    if !ratio.is_finite() {
        return NO_NUMBER.into();
    }
    let value = ratio * 100.0;
    match value {
        0.0 => "0 %".into(),
        v if v > 0.0 && v < 0.01 => "< 0.01 %".into(),
        v if v > 99.5 && v < 99.99 => format!("{:.2} %", (v * 100.0).floor() / 100.0),
        v if (99.99..100.0).contains(&v) => "99.99 %".into(),
        v if v.abs() >= 10.0 => format!("{v:.0} %"),
        v => format!("{} %", quantity((v * 100.0).round() / 100.0)),
    }
}

/// How far a ratio lies from what it should be, with its sign: `+0.3 %`, `−12 %`.
pub fn deviation(ratio: f64) -> String {
    let plus = if ratio >= 0.0 { "+" } else { "" };
    let tenths = (ratio * 1000.0).round() / 1000.0;
    if ratio.is_finite() { format!("{plus}{} %", quantity(tenths * 100.0)) } else { NO_NUMBER.into() }
}

/// Bytes in binary units: `312 B`, `1.5 KiB`, `64 MiB`.
pub fn bytes(n: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    if !n.is_finite() {
        return NO_NUMBER.into();
    }
    let mut value = n;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", quantity(value), UNITS[unit])
}

/// A tick label: short, with `k` and `M` above a thousand: `250`, `1.5k`, `2M`.
pub fn tick(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => NO_NUMBER.into(),
        v if v >= 999_950.0 => format!("{}M", quantity(value / 1e6)),
        v if v >= 999.95 => format!("{}k", quantity(value / 1e3)),
        _ => quantity(value),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        about, bytes, clock, coefficient, count, counted, deviation, ms, percent, quantity, rate, span, tick,
    };
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn three_significant_digits_with_thousands() {
        let cases = [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (0.5, "0.5"),
            (1.0, "1"),
            (9.996, "10"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (12_345.6, "12,346"),
            (-1.5, "−1.5"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (value, want) in cases {
            assert_eq!(quantity(value), want, "{value}");
        }
    }

    #[test]
    fn four_significant_digits_for_coefficients() {
        let values = [0.027_728, 1.0437e-4, -0.002_26, 89.995, -3.5, 999.94, 12_341.7, 0.0, f64::NAN];
        assert_eq!(
            values.map(coefficient),
            ["0.02773", "1.044e-4", "−2.260e-3", "90.00", "−3.500", "999.9", "12,342", "0", "–"]
        );
    }

    #[test]
    fn units_change_where_people_expect() {
        assert_eq!(
            [ms(0.4213), ms(12.0), ms(999.4), ms(999.6), ms(61_500.0)],
            ["0.421 ms", "12 ms", "999 ms", "1 s", "61.5 s"]
        );
        assert_eq!(
            [span(4.25), span(59.0), span(120.0), span(150.0), span(3900.0)],
            ["4.25 s", "59 s", "2 min", "2 min 30 s", "1 h 05 min"]
        );
        assert_eq!([deviation(0.0031), deviation(-0.1204), deviation(f64::NAN)], ["+0.3 %", "−12 %", "–"]);
        assert_eq!([bytes(312.0), bytes(1536.0), bytes(67_108_864.0)], ["312 B", "1.5 KiB", "64 MiB"]);
        assert_eq!([tick(250.0), tick(1500.0), tick(2e6), rate(f64::NAN)], ["250", "1.5k", "2M", "–"]);
        assert_eq!(
            [clock(90.0), clock(3900.0), counted(1, "core"), counted(2, "core")],
            ["1:30", "1:05:00", "1 core", "2 cores"]
        );
        assert_eq!([about(4087.3), about(87.4), about(8.12), about(0.0)], ["4,100", "87", "8.1", "0"]);
    }

    #[test]
    fn a_percentage_is_never_rounded_to_all_or_nothing() {
        let shown = [0.0, 0.000_001, 0.0042, 0.126, 0.93, 0.9999, 0.999_999, 1.0, f64::NAN].map(percent);
        assert_eq!(shown, ["0 %", "< 0.01 %", "0.42 %", "13 %", "93 %", "99.99 %", "99.99 %", "100 %", "–"]);
    }

    proptest! {
        #[test]
        fn separators_do_not_change_the_number(n in any::<u64>()) {
            prop_assert_eq!(count(n).replace(',', ""), n.to_string());
        }

        #[test]
        fn what_is_shown_is_within_half_a_percent(value in 0.1f64..1e9) {
            let back: f64 = quantity(value).replace(',', "").parse().expect("a plain number");
            prop_assert!((back / value - 1.0).abs() <= 0.005, "{} became {}", value, back);
        }
    }
}
