//! Arrival instants of the open model: the k-th arrival's offset is the inverse of the area under the rate curve.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Arrival k at the instant where the area under the curve reaches k.
    Uniform,
    /// Unit-rate exponential gaps, seeded, mapped through the same inverse.
    Poisson,
}
