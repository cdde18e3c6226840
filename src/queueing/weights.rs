//! Service rates that depend on how many are there, and the weights of a product form in logarithms. Every sum here has positive terms
//! only: nothing cancels, so nothing can turn negative, however many users there are.
//!
//! Symbols: n jobs at a station; μ(n) its rate with n jobs, 1/s; f(n) = Π 1/μ(i) over i ≤ n, its weight; G the convolution of the f of
//! all stations, from which X(n) = G(n−1)/G(n).
//!
//! Sources: Gordon and Newell, Operations Research 15(2), 1967 (the product form); Buzen, Comm. ACM 16(9), 1973 (the convolution);
//! Chandy, Herzog and Woo, IBM J. Res. Dev. 19(1), 1975 (a subnetwork as one station with its throughput for a rate).

/// Parts of a sum that are left out for being too small: each below e^−45 of the largest, or 3·10⁻²⁰.
const NEGLIGIBLE_LN: f64 = 45.0;

/// How near to its limit a throughput counts as having reached it; the logarithms of long products are no more exact than that.
const FLAT_RATIO: f64 = 1e-12;

/// μ(1), μ(2), …, per second, never falling, and constant past the last one that is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rates(Vec<f64>);

impl Rates {
    /// m servers that need `demand_s` for a job; only the first `jobs_max` rates are kept.
    pub(super) fn servers(demand_s: f64, servers: usize, jobs_max: usize) -> Self {
        Self((1..=servers.min(jobs_max).max(1)).map(|n| n as f64 / demand_s).collect())
    }

    /// The throughput of a subnetwork with 1, 2, … jobs in it, of which there is at least one: what the outside sees of it. Rounding must
    /// not make it seem to slow down under load.
    pub(super) fn measured(per_s: impl Iterator<Item = f64>) -> Self {
        let rising = per_s.scan(0.0f64, |fastest, rate| {
            *fastest = fastest.max(rate);
            Some(*fastest)
        });
        Self(rising.collect())
    }

    /// How many of them differ.
    pub(super) fn kept(&self) -> usize {
        self.0.len()
    }

    /// μ(n) for n ≥ 1.
    pub(super) fn at(&self, n: usize) -> f64 {
        self.0[n.clamp(1, self.0.len()) - 1]
    }

    pub(super) fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// ln f(0), ln f(1), …, with rates in units of `scale_per_s`; past the last one kept each is `tail_ln` more than the one before.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    ln: Vec<f64>,
    tail_ln: f64,
}

impl Weights {
    /// No station at all: nothing is there, whatever comes.
    pub(super) fn nothing() -> Self {
        Self { ln: vec![0.0], tail_ln: f64::NEG_INFINITY }
    }

    pub(super) fn of(rates: &Rates, scale_per_s: f64) -> Self {
        let mut ln = vec![0.0];
        let mut sum = 0.0;
        for rate in &rates.0 {
            sum -= (rate / scale_per_s).ln();
            ln.push(sum);
        }
        Self { ln, tail_ln: -(rates.max() / scale_per_s).ln() }
    }

    pub(super) fn ln(&self, n: usize) -> f64 {
        let last = self.ln.len() - 1;
        match n.checked_sub(last) {
            None | Some(0) => self.ln[n],
            Some(past) => self.ln[last] + past as f64 * self.tail_ln,
        }
    }

    /// From which n on each weight is the same part of the one before it, and that part as a logarithm.
    pub(super) fn tail(&self) -> (usize, f64) {
        (self.ln.len() - 1, self.tail_ln)
    }

    /// X(n) in units of the scale, n ≥ 1.
    pub(super) fn throughput(&self, n: usize) -> f64 {
        (self.ln(n - 1) - self.ln(n)).exp()
    }

    /// These and one more station, for up to `jobs_max` jobs: G(n) = Σ d(j) h(n−j) + G(n−1)/μ_max with d(j) = f(j)(1 − μ(j)/μ_max), which
    /// ends where the rates are constant. Yields how many terms were summed as well.
    pub(super) fn with(&self, rates: &Rates, scale_per_s: f64, jobs_max: usize) -> (Self, u64) {
        let f = Self::of(rates, scale_per_s);
        if self.ln.len() == 1 && self.tail_ln == f64::NEG_INFINITY {
            return (f, rates.kept() as u64);
        }
        let d: Vec<f64> = (0..rates.kept())
            .map(|j| f.ln[j] + if j == 0 { 0.0 } else { (1.0 - rates.at(j) / rates.max()).max(0.0).ln() })
            .collect();
        // The slower of the two limits: as a ratio of weights, the larger.
        let limit_ln = f.tail_ln.max(self.tail_ln);
        let (mut ln, mut peak, mut terms) = (vec![0.0], 0, 1);
        for n in 1..=jobs_max {
            // f and h are logarithmically concave, so the terms f(j) h(n−j) have one peak, which moves up with n.
            let last = (d.len() - 1).min(n);
            let whole = |j: usize| f.ln[j] + self.ln(n - j);
            while peak < last && whole(peak + 1) >= whole(peak) {
                peak += 1;
            }
            let floor = whole(peak) - NEGLIGIBLE_LN;
            let base = whole(peak).max(ln[n - 1] + f.tail_ln);
            let mut sum = (ln[n - 1] + f.tail_ln - base).exp();
            for j in (0..=peak.min(last)).rev().take_while(|j| whole(*j) >= floor) {
                sum += (d[j] + self.ln(n - j) - base).exp();
                terms += 1;
            }
            for j in (peak + 1..=last).take_while(|j| whole(*j) >= floor) {
                sum += (d[j] + self.ln(n - j) - base).exp();
                terms += 1;
            }
            ln.push(base + sum.ln());
            let flat = (ln[n] - ln[n - 1] - limit_ln).abs() < FLAT_RATIO;
            if flat && n >= self.ln.len().min(jobs_max) && n >= d.len() {
                break;
            }
        }
        (Self { ln, tail_ln: limit_ln }, terms)
    }
}

/// Logarithms of weights to probabilities: e^(x − max), over their sum.
pub(super) fn normalized(ln: &[f64]) -> Vec<f64> {
    let peak = ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares: Vec<f64> = ln.iter().map(|x| (x - peak).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The convolution as it is written in textbooks.
    fn plainly(stations: &[Rates], jobs_max: usize) -> Vec<f64> {
        let mut g: Vec<f64> = (0..=jobs_max).map(|n| if n == 0 { 1.0 } else { 0.0 }).collect();
        for rates in stations {
            let f: Vec<f64> = (0..=jobs_max).map(|n| (1..=n).map(|i| 1.0 / rates.at(i)).product()).collect();
            g = (0..=jobs_max).map(|n| (0..=n).map(|j| f[j] * g[n - j]).sum()).collect();
        }
        g
    }

    #[test]
    fn the_short_sum_is_the_whole_sum() {
        let sets = [
            vec![Rates::servers(0.5, 3, 30), Rates::servers(0.2, 1, 30), Rates::servers(1.0, 30, 30)],
            vec![Rates::servers(1.0, 1, 30), Rates::servers(1.0, 1, 30)],
            vec![Rates::servers(0.1, 20, 30), Rates::servers(0.1, 7, 30)],
            vec![Rates::measured([1.0, 1.5, 1.5, 1.8].into_iter()), Rates::servers(0.4, 2, 30)],
        ];
        for stations in sets {
            let expected = plainly(&stations, 30);
            for turned in 0..stations.len() {
                let mut order = stations.clone();
                order.rotate_left(turned);
                let mut g = Weights::nothing();
                for rates in &order {
                    g = g.with(rates, 1.0, 30).0;
                }
                for (n, value) in expected.iter().enumerate() {
                    assert!((g.ln(n) - value.ln()).abs() < 1e-10, "{n}: {} {}", g.ln(n), value.ln());
                }
            }
        }
    }

    #[test]
    fn a_rate_does_not_fall_by_rounding() {
        let rates = Rates::measured([1.0, 2.0, 2.0 - 1e-15, 2.0].into_iter());
        assert_eq!((rates.at(3), rates.at(4), rates.at(9), rates.max()), (2.0, 2.0, 2.0, 2.0));
    }
}
