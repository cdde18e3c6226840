//! Student's t distribution.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// The point below which a share `p` of Student's t distribution with `free` degrees of freedom lies; NaN without any.
pub fn t_quantile(p: f64, free: f64) -> f64 {
    StudentsT::new(0.0, 1.0, free).map_or(f64::NAN, |t| t.inverse_cdf(p))
}

/// By how much an interval of 95 % from a bootstrap is widened where as few as `free` degrees of freedom say how much the values scatter: as t is wider
/// than the normal distribution.
pub fn wider(free: f64) -> f64 {
    t_quantile(0.975, free) / t_quantile(0.975, 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table of critical values of Student's t, NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2: upper 2.5 % and 0.5 %.
    #[test]
    fn quantiles_are_those_of_the_table() {
        let table = [
            (1.0, 12.706, 63.657),
            (2.0, 4.303, 9.925),
            (3.0, 3.182, 5.841),
            (4.0, 2.776, 4.604),
            (5.0, 2.571, 4.032),
            (10.0, 2.228, 3.169),
            (29.0, 2.045, 2.756),
            (60.0, 2.000, 2.660),
            (100.0, 1.984, 2.626),
        ];
        for (free, upper_25, upper_05) in table {
            assert!((t_quantile(0.975, free) - upper_25).abs() < 6e-4, "{free}: {}", t_quantile(0.975, free));
            assert!((t_quantile(0.995, free) - upper_05).abs() < 6e-4, "{free}: {}", t_quantile(0.995, free));
        }
        assert!((t_quantile(0.025, 4.0) + 2.776).abs() < 6e-4);
        assert!(t_quantile(0.975, 0.0).is_nan());
    }
}
