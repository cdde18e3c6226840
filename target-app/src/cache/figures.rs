//! What the caches count.

use prometheus::{IntCounter, IntCounterVec, Opts};

use crate::metrics::Maker;

#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(super) l1: Tier,
    pub(super) l2: Tier,
    /// Documents that were not left in Redis.
    pub(super) lost: IntCounter,
}

#[derive(Clone, Debug)]
pub(super) struct Tier {
    pub(super) hits: IntCounter,
    pub(super) misses: IntCounter,
}

impl Figures {
    pub(crate) fn made_by(make: &Maker<'_>) -> prometheus::Result<Self> {
        let by_tier = |name, help| make.registered(IntCounterVec::new(Opts::new(name, help), &["tier"])?);
        let hits = by_tier("cache_hits_total", "Reads answered from this tier of the cache.")?;
        let misses = by_tier("cache_misses_total", "Reads that this tier did not have.")?;
        let tier =
            |name| Tier { hits: hits.with_label_values(&[name]), misses: misses.with_label_values(&[name]) };
        let lost = make.count(
            "cache_writes_lost_total",
            "Documents not left in Redis because too many were on their way there.",
        )?;
        Ok(Self { l1: tier("l1"), l2: tier("l2"), lost })
    }
}
