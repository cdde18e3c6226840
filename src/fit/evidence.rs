//! How far a figure is from what was measured.

/// Largest measured load, or use of a resource, times this is as far as a figure counts as interpolated; a law says less and less beyond.
pub const INTERPOLATED_MAX: f64 = 1.25;

/// The class of what lies beyond.
pub const EXTRAPOLATED: &str = "extrapolated";

/// Evidence class of a figure for `factor` times the most that was measured.
pub fn evidence(factor: f64) -> &'static str {
    match factor {
        ..=1.0 => "measured",
        ..=INTERPOLATED_MAX => "interpolated",
        _ => EXTRAPOLATED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_evidence() {
        assert_eq!(
            (evidence(0.99), evidence(1.2), evidence(8.0)),
            ("measured", "interpolated", "extrapolated")
        );
    }
}
