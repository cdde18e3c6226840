//! What a store counts, made by whoever owns the registry: its pool's figures, and how long operations take.

use std::time::Duration;

use prometheus::HistogramVec;

use crate::demand::Operation;
use crate::pool;

/// The histograms of a store.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) pool: pool::Figures,
    /// From asking for a connection to having the answer, in seconds, by collection and operation.
    pub(crate) durations: HistogramVec,
}

impl Figures {
    /// Counts one operation, however it ended.
    pub(super) fn ended(&self, operation: Operation, took: Duration) {
        let labels = [operation.collection(), operation.name()];
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
    }
}
