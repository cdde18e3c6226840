//! Measurement: what one exchange was ([`sample`]), a shard's recorder ([`recorder`]), what it hands over every second
//! ([`snapshot`]) with what failed ([`failures`]), and a span of the run as thresholds see it ([`span`]). Histograms are added, never percentiles.

pub mod failures;
pub mod histogram;
pub mod recorder;
pub mod sample;
pub mod snapshot;
pub mod span;
