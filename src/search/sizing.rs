//! How many windows a search needs under noise. A stall that has nothing to do with the load makes a window bad; a level is judged wrong when
//! more of its windows are so than may be bad.

use statrs::distribution::{Beta, Binomial, ContinuousCDF as _, DiscreteCDF as _};

/// Probability that noise turns even one of the levels.
const WRONG_MAX: f64 = 0.01;
/// Where more would be needed the noise has to be dealt with, not waited out.
const WINDOWS_MAX: u32 = 101;
/// One-sided confidence of [`noise_ratio_low`].
const CONFIDENCE: f64 = 0.9;

/// The least odd number of windows with which noise that makes the share `noise_ratio` of the windows bad turns one of `levels` judgments with
/// less than 1 % probability: levels · P[Bin(n, p) > n · exceed] < 0.01, with the windows taken as independent. `None` where 101 do not suffice.
///
/// Stalls that come at a rate of r a second make p = 1 − e^(−r·d) of the windows of d seconds bad, for a stall that breaks the goal of the
/// window it falls into.
pub fn windows_needed(noise_ratio: f64, levels: u32, exceed: f64) -> Option<u32> {
    (1..=WINDOWS_MAX).step_by(2).find(|windows| wrong(noise_ratio, levels, *windows, exceed) < WRONG_MAX)
}

/// Bound on the probability that noise turns one of `levels` judgments by so many windows: the sum over the levels.
pub fn wrong(noise_ratio: f64, levels: u32, windows: u32, exceed: f64) -> f64 {
    let tolerated = (f64::from(windows) * exceed) as u64;
    let votes = Binomial::new(noise_ratio.clamp(0.0, 1.0), u64::from(windows));
    votes.map_or(1.0, |votes| f64::from(levels) * votes.sf(tolerated))
}

/// The share of bad windows that the noise has at least, with 90 % confidence, when `bad` of `windows` were so: the lower bound of Clopper and
/// Pearson (Biometrika 26, 1934). A few windows say little, and an alarm by one of them would be as noisy as what it warns of.
pub fn noise_ratio_low(bad: u32, windows: u32) -> f64 {
    if bad == 0 || bad > windows {
        return 0.0;
    }
    let beta = Beta::new(f64::from(bad), f64::from(windows - bad) + 1.0);
    beta.map_or(0.0, |beta| beta.inverse_cdf(1.0 - CONFIDENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(stalls_per_s: f64, window_s: f64) -> f64 {
        1.0 - (-stalls_per_s * window_s).exp()
    }

    /// Three windows of 20 s do not do under a stall every two minutes, and eleven of 10 s are more than enough: P[Bin(3, 0.1535) > 1] = 0.0635.
    #[test]
    fn the_majority_of_few_windows_is_noise() {
        let (of_20, of_10) = (noise(1.0 / 120.0, 20.0), noise(1.0 / 120.0, 10.0));
        assert!((wrong(of_20, 1, 3, 0.5) - 0.0635).abs() < 1e-4, "{}", wrong(of_20, 1, 3, 0.5));
        assert!(wrong(of_20, 10, 5, 0.5) > 0.01 && wrong(of_10, 10, 11, 0.5) < 0.001);
        assert_eq!(windows_needed(of_10, 10, 0.5), Some(9));
        assert_eq!(windows_needed(0.0, 10, 0.5), Some(1));
        assert_eq!(windows_needed(0.5, 10, 0.5), None, "no majority tells noise of that size from load");
        assert_eq!(windows_needed(0.1, 10, 0.0), None, "no window may be bad: more of them make it worse");
    }

    #[test]
    fn few_windows_say_little_of_the_noise() {
        // With one of one: p = 0.1 is the least that yields it with 10 % probability.
        assert!((noise_ratio_low(1, 1) - 0.1).abs() < 1e-9);
        // 1 − (1 − p)^10 = 0.1.
        assert!((noise_ratio_low(1, 10) - 0.010_480_7).abs() < 1e-6);
        assert!(noise_ratio_low(10, 100) < 0.1 && noise_ratio_low(10, 100) > 0.06);
        assert_eq!(noise_ratio_low(0, 10), 0.0);
    }
}
