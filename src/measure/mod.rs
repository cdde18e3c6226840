//! Measurement: what one exchange was ([`sample`]), a shard's recorder ([`recorder`]), what it hands over every second
//! ([`snapshot`]), and the merged result of spans of the run ([`ledger`]). Histograms are added, never percentiles.

pub mod histogram;
pub mod recorder;
pub mod sample;
pub mod snapshot;
