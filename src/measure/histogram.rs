//! A latency histogram: integer nanoseconds, three significant digits, any range. A thin name over `hdrhistogram`, so that every
//! histogram of the tool has the same precision and merging them is exact.

use crate::threshold::Figure;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as _, V2Serializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Quantization error is at most one part in a thousand of the value.
pub const SIGNIFICANT_DIGITS: u8 = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Histogram(Hdr<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    pub fn new() -> Self {
        Self(Hdr::new(SIGNIFICANT_DIGITS).expect("three digits are within what the crate supports"))
    }

    /// An empty histogram that already spans what `like` has seen, so that recording into it does not have to grow it again.
    pub fn empty_like(like: &Self) -> Self {
        Self(Hdr::new_from(&like.0))
    }

    pub fn from_hdr(inner: Hdr<u64>) -> Self {
        Self(inner)
    }

    pub fn hdr(&self) -> &Hdr<u64> {
        &self.0
    }

    /// Records one latency. The histogram grows as needed, so no value is out of range.
    #[inline]
    pub fn record(&mut self, value_ns: u64) {
        let recorded = self.0.record(value_ns);
        debug_assert!(recorded.is_ok(), "a histogram that resizes itself takes any value");
    }

    /// Adds every count of `other`: bucket by bucket, exact.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms that resize themselves can always be added");
    }

    /// The same of counts that were kept without the buckets between them.
    pub fn add_sparse(&mut self, other: &Sparse) {
        for &(value_ns, count) in &other.0 {
            self.0.record_n(value_ns, count).expect("a histogram that resizes itself takes any value");
        }
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at `q` (0..1) in nanoseconds; 0 when empty.
    pub fn quantile_ns(&self, q: f64) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_quantile(q) }
    }

    pub fn max_ns(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.max() }
    }

    pub fn mean_ns(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.mean() }
    }

    /// A figure of the samples, and how many there are.
    pub fn figure_ns(&self, figure: Figure) -> (f64, u64) {
        let value_ns = match figure {
            Figure::Quantile(q) => self.quantile_ns(q) as f64,
            Figure::Max => self.max_ns() as f64,
            Figure::Mean => self.mean_ns(),
        };
        (value_ns, self.count())
    }

    /// Samples above `limit_ns`, to within the quantization.
    pub fn count_above(&self, limit_ns: u64) -> u64 {
        if self.0.is_empty() || limit_ns >= self.0.max() {
            return 0;
        }
        let above = self.0.highest_equivalent(limit_ns).saturating_add(1);
        self.0.count_between(above, self.0.max())
    }
}

/// The buckets of a histogram that hold something, each by its highest value. A whole histogram of latencies takes more than 100 kB however few it holds, and a record
/// has one for each second, endpoint and clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse(Box<[(u64, u64)]>);

impl From<&Histogram> for Sparse {
    fn from(histogram: &Histogram) -> Self {
        let filled = histogram.0.iter_recorded();
        Self(filled.map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect())
    }
}

impl From<&Sparse> for Histogram {
    fn from(sparse: &Sparse) -> Self {
        let mut whole = Self::new();
        whole.add_sparse(sparse);
        whole
    }
}

/// On the wire a histogram is the V2 encoding of the HdrHistogram project: run-length coded counts, so that an almost empty one is a few
/// dozen bytes, and every count exactly as it was.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).map_err(S::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&'de [u8]>::deserialize(deserializer)?;
        let mut hdr: Hdr<u64> = HdrDeserializer::new().deserialize(&mut &*bytes).map_err(D::Error::custom)?;
        if hdr.sigfig() != SIGNIFICANT_DIGITS {
            return Err(D::Error::custom("a histogram of another precision"));
        }
        hdr.auto(true);
        Ok(Self(hdr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|&value| histogram.record(value));
        histogram
    }

    proptest! {
        #[test]
        fn merging_in_any_grouping_equals_recording_in_one(
            a in prop::collection::vec(0u64..10_000_000_000, 0..60),
            b in prop::collection::vec(0u64..10_000_000_000, 0..60),
            c in prop::collection::vec(0u64..10_000_000_000, 0..60),
        ) {
            let all: Vec<u64> = a.iter().chain(&b).chain(&c).copied().collect();
            let mut left = of(&a);
            left.add(&of(&b));
            left.add(&of(&c));
            let mut right = of(&b);
            right.add(&of(&c));
            let mut outer = of(&a);
            outer.add(&right);
            let whole = of(&all);
            prop_assert_eq!(left.hdr(), whole.hdr());
            prop_assert_eq!(outer.hdr(), whole.hdr());
            let mut sparse = of(&a);
            sparse.add_sparse(&Sparse::from(&right));
            prop_assert_eq!(sparse.hdr(), whole.hdr());
            prop_assert_eq!(sparse.mean_ns(), whole.mean_ns());
        }

        #[test]
        fn what_goes_over_the_wire_comes_back_bucket_by_bucket_and_can_be_added_to(
            a in prop::collection::vec(0u64..10_000_000_000, 0..60),
            b in prop::collection::vec(0u64..u64::MAX / 4, 0..20),
        ) {
            let there = postcard::to_allocvec(&of(&a)).expect("encoded");
            let mut back: Histogram = postcard::from_bytes(&there).expect("decoded");
            prop_assert_eq!(&back, &of(&a));
            back.add(&of(&b));
            let mut whole = of(&a);
            whole.add(&of(&b));
            prop_assert_eq!(back.hdr(), whole.hdr());
        }

        #[test]
        fn count_above_agrees_with_counting(values in prop::collection::vec(1u64..2000, 1..100), limit in 0u64..2100) {
            // Below 2048 ns every value has a bucket of its own, so the count is exact.
            let expected = values.iter().filter(|&&value| value > limit).count() as u64;
            prop_assert_eq!(of(&values).count_above(limit), expected);
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        let empty = Histogram::new();
        assert_eq!((empty.quantile_ns(0.99), empty.max_ns(), empty.count_above(0)), (0, 0, 0));
        assert_eq!(empty.mean_ns(), 0.0);
    }
}
