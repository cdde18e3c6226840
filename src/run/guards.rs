//! The safety rules of a running test, and the readings they ask about. Seconds and readings come at their own times, so a resource
//! without a reading in a second is judged by its latest one, as long as that is fresh.

use crate::endpoint::Endpoint;
use crate::limits::SCRAPE_TIMEOUT;
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::record::rows::SaturationRow;
use crate::scenario::plan::Plan;
use crate::threshold::Watch;
use std::collections::BTreeMap;
use std::time::Duration;

/// Age up to which a reading stands for the present where sources are read every second.
const READING_AGE_MAX_S: f64 = 3.0;

pub(super) struct Guards {
    rules: Vec<Watch>,
    latest: BTreeMap<String, SaturationRow>,
    /// Readings since the last second.
    fresh: Vec<SaturationRow>,
    age_max_s: f64,
}

impl Guards {
    pub(super) fn new(plan: &Plan) -> Self {
        // A source that is read more rarely is fresh until its next reading is overdue.
        let every = plan.observe.sources.iter().map(|source| source.every).max().unwrap_or(Duration::ZERO);
        Self {
            rules: plan.safety.abort_when.iter().cloned().map(Watch::new).collect(),
            latest: BTreeMap::new(),
            fresh: Vec::new(),
            age_max_s: READING_AGE_MAX_S.max((every + SCRAPE_TIMEOUT).as_secs_f64()),
        }
    }

    pub(super) fn readings(&mut self, rows: Vec<SaturationRow>) {
        for row in rows {
            self.latest.insert(row.resource.clone(), row.clone());
            self.fresh.push(row);
        }
    }

    /// The latest reading of each resource.
    pub(super) fn latest(&self) -> Vec<SaturationRow> {
        self.latest.values().cloned().collect()
    }

    /// Takes in a merged second; yields the text of a rule that is met.
    pub(super) fn second(
        &mut self,
        second: &Snapshot,
        endpoints: &[Endpoint],
        span_s: u64,
    ) -> Option<String> {
        let readings = self.take_readings(second.end_s as f64);
        let span = Span { snapshot: second, endpoints, seconds: span_s as f64, readings: &readings };
        let mut met = None;
        for rule in &mut self.rules {
            // Every rule sees every second, whichever is met first.
            if rule.second(&span, span_s) {
                met.get_or_insert_with(|| rule.threshold().text.clone());
            }
        }
        met
    }

    fn take_readings(&mut self, now_s: f64) -> Vec<SaturationRow> {
        let mut readings = std::mem::take(&mut self.fresh);
        for (resource, row) in &self.latest {
            let seen = readings.iter().any(|reading| &reading.resource == resource);
            if !seen && now_s - row.t_s <= self.age_max_s {
                readings.push(row.clone());
            }
        }
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(rule: &str) -> Guards {
        let rule = Watch::new(crate::threshold::parse(rule).expect("a rule"));
        Guards { rules: vec![rule], latest: BTreeMap::new(), fresh: Vec::new(), age_max_s: READING_AGE_MAX_S }
    }

    fn reading(t_s: f64, used: f64) -> SaturationRow {
        SaturationRow {
            t_s,
            resource: "pool".into(),
            kind: "pool".into(),
            used,
            limit: Some(10.0),
            waiting: None,
            utilization: Some(used / 10.0),
            errors: None,
            visits: None,
            wait_s: None,
            hold_s: None,
        }
    }

    fn met_at(guards: &mut Guards, readings: &[(u64, f64)], until_s: u64) -> Option<u64> {
        (1..=until_s).find(|&end_s| {
            for (_, used) in readings.iter().filter(|(at_s, _)| *at_s == end_s) {
                guards.readings(vec![reading(end_s as f64 - 0.5, *used)]);
            }
            guards.second(&Snapshot { end_s, ..Snapshot::default() }, &[], 1).is_some()
        })
    }

    #[test]
    fn a_second_without_a_reading_goes_by_the_latest() {
        let full = [(1, 10.0), (2, 10.0), (4, 10.0), (5, 10.0)];
        assert_eq!(met_at(&mut guards("used(pool) > 9 for 5s"), &full, 9), Some(5));
        let one = [(1, 10.0)];
        assert_eq!(met_at(&mut guards("used(pool) > 9 for 3s"), &one, 9), Some(3));
        assert_eq!(met_at(&mut guards("used(pool) > 9 for 5s"), &one, 9), None, "an old reading is none");
        let relieved = [(1, 10.0), (3, 1.0), (4, 10.0)];
        assert_eq!(met_at(&mut guards("used(pool) > 9 for 4s"), &relieved, 6), None);
    }
}
