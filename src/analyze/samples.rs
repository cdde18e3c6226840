//! The readings of a level one by one: what its means are taken of, what the checks look at, and what a bootstrap draws again.

use crate::measure::span::Mean;
use crate::record::rows::SaturationRow;
use crate::record::summary::LevelResource;
use std::collections::BTreeMap;

/// used / limit from which a reading counts as full: below one, because a mean over a second with a single free instant is.
const FULL_RATIO: f64 = 0.98;

/// A row with the span of time that it speaks for.
pub(super) struct Reading<'a> {
    pub(super) row: &'a SaturationRow,
    pub(super) from_s: f64,
}

/// A reading covers the time since the one before it of the same resource; the first is taken to cover one second.
pub(super) fn reading_spans(rows: &[SaturationRow]) -> Vec<Reading<'_>> {
    let mut before: BTreeMap<&str, f64> = BTreeMap::new();
    rows.iter()
        .map(|row| {
            let from_s = before.insert(&row.resource, row.t_s).unwrap_or(row.t_s - 1.0);
            Reading { row, from_s }
        })
        .collect()
}

/// used / limit of a reading, where it has a limit.
pub(super) fn utilization(row: &SaturationRow) -> Option<f64> {
    row.utilization.or_else(|| row.limit.filter(|&limit| limit > 0.0).map(|limit| row.used / limit))
}

/// A reading, as far as it lies inside a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Time of it inside the level.
    pub(super) seconds: f64,
    pub(super) used: f64,
    pub(super) limit: Option<f64>,
    pub(super) waiting: Option<f64>,
    utilization: Option<f64>,
    /// Those of its visits, and of the sums over them, that fall into the level.
    pub(super) visits: Option<f64>,
    pub(super) wait_s: Option<f64>,
    pub(super) hold_s: Option<f64>,
    errors: Option<f64>,
}

/// What one resource told during one level, in order of time.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

/// The readings that lie inside the span, by resource in order of name, and how many of each were no numbers that can be: those are passed over.
pub(super) fn within(
    readings: &[Reading<'_>],
    from_s: f64,
    to_s: f64,
) -> (Vec<Series>, BTreeMap<String, u32>) {
    let mut series: BTreeMap<&str, Series> = BTreeMap::new();
    let mut impossible: BTreeMap<String, u32> = BTreeMap::new();
    for Reading { row, from_s: since_s } in readings {
        let covered_s = row.t_s - since_s;
        let inside_s = row.t_s.min(to_s) - since_s.max(from_s);
        // A reading mostly of another span would mix settling or cooling down into the level.
        if covered_s <= 0.0 || inside_s < covered_s / 2.0 {
            continue;
        }
        let (sample, whole) = Sample::of(row, inside_s, inside_s / covered_s);
        if !whole {
            *impossible.entry(row.resource.clone()).or_default() += 1;
        }
        if let Some(sample) = sample {
            let of = series.entry(&row.resource).or_insert_with(|| Series {
                name: row.resource.clone(),
                kind: String::new(),
                samples: Vec::new(),
            });
            of.kind.clone_from(&row.kind);
            of.samples.push(sample);
        }
    }
    (series.into_values().collect(), impossible)
}

impl Sample {
    /// The figures of a row that can be, nothing where what is in use cannot; and whether all could.
    fn of(row: &SaturationRow, seconds: f64, share: f64) -> (Option<Self>, bool) {
        let can_be = |value: &f64| value.is_finite() && *value >= 0.0;
        let told = [row.limit, row.waiting, row.utilization, row.visits, row.wait_s, row.hold_s, row.errors];
        let whole = can_be(&row.used) && told.iter().flatten().all(can_be);
        let part = |value: Option<f64>| value.filter(can_be).map(|value| value * share);
        let sample = can_be(&row.used).then(|| Self {
            seconds,
            used: row.used,
            limit: row.limit.filter(|limit| can_be(limit) && *limit > 0.0),
            waiting: row.waiting.filter(can_be),
            utilization: utilization(row).filter(can_be),
            visits: part(row.visits),
            wait_s: part(row.wait_s),
            hold_s: part(row.hold_s),
            errors: part(row.errors),
        });
        (sample, whole)
    }
}

impl Series {
    /// The means over the whole level.
    pub(super) fn mean(&self, throughput_per_s: f64) -> LevelResource {
        self.mean_of(self.samples.iter(), throughput_per_s)
    }

    /// The means over some of the samples, as often as they come.
    ///
    /// A counter that was set back gives no difference, so its sums are held against the time and the visits that were told with them.
    pub(super) fn mean_of<'a>(
        &self,
        samples: impl Iterator<Item = &'a Sample>,
        throughput_per_s: f64,
    ) -> LevelResource {
        let (mut used, mut waiting, mut utilization, mut visits) =
            (Mean::default(), Mean::default(), Mean::default(), Mean::default());
        let (mut wait_s, mut hold_s, mut errors) = (Mean::default(), Mean::default(), Mean::default());
        let (mut limit, mut count, mut full) = (None, 0_u32, 0_u32);
        for sample in samples {
            used.add(Some(sample.used), sample.seconds);
            waiting.add(sample.waiting, sample.seconds);
            utilization.add(sample.utilization, sample.seconds);
            errors.add(sample.errors.map(|errors| errors / sample.seconds), sample.seconds);
            limit = sample.limit.or(limit);
            count += 1;
            full += u32::from(sample.utilization.is_some_and(|ratio| ratio >= FULL_RATIO));
            if let Some(seen) = sample.visits {
                visits.add(Some(seen / sample.seconds), sample.seconds);
                let per_visit = |sum: Option<f64>| sum.filter(|_| seen > 0.0).map(|sum| sum / seen);
                wait_s.add(per_visit(sample.wait_s), seen);
                hold_s.add(per_visit(sample.hold_s), seen);
            }
        }
        let visits_per_s = visits.value().filter(|visits| *visits > 0.0);
        LevelResource {
            kind: self.kind.clone(),
            used: used.value().unwrap_or(0.0),
            limit,
            waiting: waiting.value(),
            utilization: utilization.value(),
            full_ratio: f64::from(full) / f64::from(count.max(1)),
            wait_ms: wait_s.value().map(|wait_s| wait_s * 1e3),
            hold_ms: hold_s.value().map(|hold_s| hold_s * 1e3),
            visits: visits_per_s.filter(|_| throughput_per_s > 0.0).map(|visits| visits / throughput_per_s),
            errors_per_s: errors.value(),
        }
    }

    /// Standard error of the mean in use, as the samples scatter.
    pub(super) fn used_error(&self) -> f64 {
        scatter(self.samples.iter().map(|sample| sample.used))
    }
}

/// Standard error of the mean of some values; infinite for fewer than two, which do not tell.
pub(super) fn scatter(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    if n < 2.0 {
        f64::INFINITY
    } else {
        (values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
    }
}
