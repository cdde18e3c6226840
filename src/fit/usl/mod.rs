//! The Universal Scalability Law: throughput X at load N (users, processes, replicas) as
//! X(N) = γ·N / (1 + α·(N − 1) + β·N·(N − 1)).
//!
//! Source: Gunther, "Guerrilla Capacity Planning", Springer 2007, chapters 4 to 6. α is contention (waiting for what is shared), β coherency
//! (agreeing about it, for which N·(N − 1) pairs exist), γ the throughput of a load of one. The law describes a curve that was measured. It does
//! not see a limit that no measured load has come near, so nothing is told beyond 1.25 × the largest of them.

mod descent;
mod fitted;
mod interval;
#[cfg(test)]
mod published;
mod quality;
mod shape;

pub use fitted::{Estimate, Fitted, IntervalKind, LOADS_FEW, Unfit, fit};
pub use quality::{Misfit, misfit, r_squared};
pub use shape::{HardLimit, Shape, Verdict, shape};

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Load, at least 1.
    pub n: f64,
    /// Throughput, in whatever unit; γ is in the same.
    pub x: f64,
}

/// The law with its coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// Contention, 0..1.
    pub alpha: f64,
    /// Coherency, 0..1.
    pub beta: f64,
    /// Throughput of a load of one.
    pub gamma: f64,
}

impl Law {
    /// X(N).
    pub fn throughput(&self, n: f64) -> f64 {
        self.gamma * n / self.slowdown(n)
    }

    fn slowdown(&self, n: f64) -> f64 {
        1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0)
    }

    /// ∂X/∂α = −γ·N·(N − 1)/d², ∂X/∂β = −γ·N²·(N − 1)/d², ∂X/∂γ = N/d, with d the denominator of the law.
    pub fn gradient(&self, n: f64) -> [f64; 3] {
        let slowdown = self.slowdown(n);
        let by_alpha = -self.gamma * n * (n - 1.0) / (slowdown * slowdown);
        [by_alpha, by_alpha * n, n / slowdown]
    }

    /// √((1 − α)/β), and at least 1: the load of most throughput. `None` where β is 0 and throughput never falls.
    pub fn peak_n(&self) -> Option<f64> {
        (self.beta > 0.0).then(|| ((1.0 - self.alpha) / self.beta).sqrt().max(1.0))
    }

    /// Most throughput, X at [`Law::peak_n`].
    pub fn peak_x(&self) -> Option<f64> {
        self.peak_n().map(|n| self.throughput(n))
    }

    /// 1/α: the load at which the throughput of perfect scaling would reach the limit that contention alone sets.
    pub fn optimal_n(&self) -> Option<f64> {
        (self.alpha > 0.0).then(|| 1.0 / self.alpha)
    }

    /// γ/α: the throughput that contention alone would let a growing load come near, Amdahl's asymptote.
    pub fn limit_x(&self) -> Option<f64> {
        (self.alpha > 0.0).then(|| self.gamma / self.alpha)
    }

    /// The least load that yields throughput `x`: the smaller root of β·x·N² + ((α − β)·x − γ)·N + (1 − α)·x = 0. `None` where no load does.
    pub fn load_for(&self, x: f64) -> Option<f64> {
        let (square, linear, constant) =
            (self.beta * x, (self.alpha - self.beta) * x - self.gamma, (1.0 - self.alpha) * x);
        let under = linear * linear - 4.0 * square * constant;
        // Written so that nothing cancels where β is small or 0.
        let n = 2.0 * constant / (-linear + under.max(0.0).sqrt());
        (under >= 0.0 && linear < 0.0 && n.is_finite()).then_some(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    proptest! {
        #[test]
        fn the_load_for_a_throughput_yields_it(
            alpha in 0.0..0.9_f64, beta in 0.0..0.01_f64, gamma in 0.1..1e4_f64, n in 1.0..500.0_f64
        ) {
            let law = Law { alpha, beta, gamma };
            let n = n.min(law.peak_n().unwrap_or(f64::INFINITY) * 0.999);
            let found = law.load_for(law.throughput(n)).unwrap();
            prop_assert!((found / n - 1.0).abs() < 1e-6, "{found} for {n}");
            let most = law.peak_x().or(law.limit_x()).unwrap_or(f64::INFINITY);
            prop_assert!(law.load_for(most * 1.001).is_none());
        }

        #[test]
        fn the_gradient_is_the_slope(
            alpha in 0.01..0.9_f64, beta in 1e-4..0.01_f64, gamma in 0.1..1e4_f64, n in 2.0..500.0_f64
        ) {
            let law = Law { alpha, beta, gamma };
            let by = [
                Law { alpha: alpha * (1.0 + 1e-6), ..law },
                Law { beta: beta * (1.0 + 1e-6), ..law },
                Law { gamma: gamma * (1.0 + 1e-6), ..law },
            ];
            let steps = [alpha, beta, gamma].map(|value| value * 1e-6);
            for ((slope, moved), step) in law.gradient(n).into_iter().zip(by).zip(steps) {
                let seen = (moved.throughput(n) - law.throughput(n)) / step;
                prop_assert!((seen - slope).abs() <= 1e-3 * slope.abs() + 1e-6 * law.throughput(n) , "{seen} {slope}");
            }
        }
    }

    #[test]
    fn a_line_has_neither_peak_nor_limit() {
        let law = Law { alpha: 0.0, beta: 0.0, gamma: 5.0 };
        assert_eq!((law.peak_n(), law.optimal_n(), law.limit_x()), (None, None, None));
        assert_eq!(law.load_for(50.0), Some(10.0));
    }
}
