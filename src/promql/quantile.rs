//! A quantile out of the buckets of a histogram, as Prometheus has it (`BucketQuantile` in `promql/quantile.go`): on a straight line
//! inside the bucket that it falls into, which is as exact as the buckets are narrow.

use super::{Grouping, Labels};
use std::collections::BTreeMap;

/// Upper bound and cumulated count.
type Bucket = (f64, f64);

/// One value for each histogram among the samples; those are told apart by their labels besides `le`.
pub(super) fn of_histograms(q: f64, samples: &[(Labels, f64)]) -> Vec<(Labels, f64)> {
    let of_one = Grouping::AllBut(vec!["le".to_owned()]);
    let mut histograms: BTreeMap<Labels, Vec<Bucket>> = BTreeMap::new();
    for (labels, count) in samples {
        let Some(bound) = labels.get("le").and_then(|le| le.parse().ok()) else { continue };
        histograms.entry(of_one.key(labels)).or_default().push((bound, *count));
    }
    histograms.into_iter().map(|(labels, buckets)| (labels, quantile(q, buckets))).collect()
}

fn quantile(q: f64, mut buckets: Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    } else if q < 0.0 {
        return f64::NEG_INFINITY;
    } else if q > 1.0 {
        return f64::INFINITY;
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Several of one bound, of replicas that write it differently, are one; and a scrape in the middle of an update may have fewer in a wider one.
    let mut merged: Vec<Bucket> = Vec::new();
    for (bound, count) in buckets {
        match merged.last_mut() {
            Some(last) if last.0 == bound => last.1 += count,
            _ => merged.push((bound, count)),
        }
    }
    let mut most = 0.0_f64;
    for bucket in &mut merged {
        most = most.max(bucket.1);
        bucket.1 = most;
    }
    let [finite @ .., (f64::INFINITY, all)] = merged.as_slice() else { return f64::NAN };
    if finite.is_empty() || *all == 0.0 {
        return f64::NAN;
    }
    let rank = q * all;
    let Some(at) = finite.iter().position(|(_, count)| *count >= rank) else {
        return finite.last().map_or(f64::NAN, |(bound, _)| *bound);
    };
    let (bound, count) = finite[at];
    let (from, below) = match at.checked_sub(1) {
        Some(before) => finite[before],
        None if bound <= 0.0 => return bound,
        None => (0.0, 0.0),
    };
    from + (bound - from) * ((rank - below) / (count - below))
}
