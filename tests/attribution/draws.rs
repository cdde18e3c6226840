//! Random choices, all of one stream a system, and the times that are drawn while it runs.

use plimsoll::seed::{Purpose, Stream, stream};
use rand::Rng;

/// How the times of one visit spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Constant,
    Exponential,
    /// With this standard deviation of the logarithm.
    Lognormal(f64),
}

/// How long one visit takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    pub mean_s: f64,
    pub shape: Shape,
}

#[derive(Debug)]
pub(crate) struct Draws(Stream);

impl Draws {
    /// The draws of system `id`; each `part` of it (its drawing, each level of its search, its probes) has its own.
    pub(crate) fn new(seed: u64, id: u64, part: u64) -> Self {
        Self(stream(seed, Purpose::Mix, part, id))
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// Log-uniform over whole numbers.
    pub(crate) fn count(&mut self, low: u32, high: u32) -> u32 {
        (self.log_uniform(f64::from(low), f64::from(high) + 1.0) as u32).clamp(low, high)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[((self.unit() * among.len() as f64) as usize).min(among.len() - 1)]
    }

    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub(crate) fn shape(&mut self) -> Shape {
        match self.pick(&[0, 1, 2]) {
            0 => Shape::Constant,
            1 => Shape::Exponential,
            _ => Shape::Lognormal(self.between(0.4, 1.0)),
        }
    }

    pub(crate) fn time(&mut self, time: Time) -> f64 {
        time.mean_s
            * match time.shape {
                Shape::Constant => 1.0,
                Shape::Exponential => self.exponential(),
                Shape::Lognormal(sigma) => (sigma * self.normal() - sigma * sigma / 2.0).exp(),
            }
    }
}
