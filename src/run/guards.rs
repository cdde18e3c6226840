//! The safety rules of a running test, and the readings they ask about. Seconds and readings come at their own times, so a resource
//! without a reading in a second is judged by its latest one, as long as that is fresh.

use super::flight::{Flight, InFlight};
use crate::endpoint::Endpoint;
use crate::limits::SCRAPE_TIMEOUT;
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::record::rows::{SIGNAL, SaturationRow};
use crate::scenario::plan::{Plan, Whence};
use crate::threshold::Watch;
use std::collections::BTreeMap;
use std::time::Duration;

/// Age up to which a reading stands for the present where sources are read every second.
const READING_AGE_MAX_S: f64 = 3.0;
/// How much older what a Prometheus server knows may be: it scrapes once a minute unless told otherwise.
const SERVER_LAG_MAX: Duration = Duration::from_secs(60);

pub(super) struct Guards {
    rules: Vec<Watch>,
    latest: BTreeMap<String, SaturationRow>,
    /// Readings since the last second.
    fresh: Vec<SaturationRow>,
    age_max_s: f64,
    /// The same of what comes from servers, by name.
    late_s: BTreeMap<String, f64>,
    flight: Flight,
}

impl Guards {
    pub(super) fn new(plan: &Plan) -> Self {
        // A source that is read more rarely is fresh until its next reading is overdue.
        let every = plan.observe.sources.iter().map(|source| source.every).max().unwrap_or(Duration::ZERO);
        let servers = plan.observe.sources.iter().filter(|s| matches!(s.whence, Whence::Prometheus(_)));
        let late = servers.flat_map(|source| {
            let age_s = (source.every + SERVER_LAG_MAX + SCRAPE_TIMEOUT).as_secs_f64();
            let names = source.resources.keys().chain(source.signals.keys());
            names.map(move |name| (name.clone(), age_s))
        });
        Self {
            rules: plan.safety.abort_when.iter().cloned().map(Watch::new).collect(),
            latest: BTreeMap::new(),
            fresh: Vec::new(),
            age_max_s: READING_AGE_MAX_S.max((every + SCRAPE_TIMEOUT).as_secs_f64()),
            late_s: late.collect(),
            flight: Flight::default(),
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
        self.latest.values().filter(|row| row.kind != SIGNAL).cloned().collect()
    }

    /// Takes in a merged second; yields the text of a rule that is met.
    pub(super) fn second(
        &mut self,
        second: &Snapshot,
        endpoints: &[Endpoint],
        span_s: u64,
    ) -> Option<String> {
        let readings = self.take_readings(second.end_s as f64);
        self.flight.second(second, span_s);
        let span = Span { snapshot: second, endpoints, seconds: span_s as f64, readings: &readings };
        let stats = InFlight { span, flight: &self.flight };
        let mut met = None;
        for rule in &mut self.rules {
            // Every rule sees every second, whichever is met first.
            if rule.second(&stats, span_s) {
                met.get_or_insert_with(|| rule.threshold().text.clone());
            }
        }
        met
    }

    fn take_readings(&mut self, now_s: f64) -> Vec<SaturationRow> {
        let mut readings = std::mem::take(&mut self.fresh);
        for (resource, row) in &self.latest {
            let seen = readings.iter().any(|reading| &reading.resource == resource);
            let age_max_s = self.late_s.get(resource).copied().unwrap_or(self.age_max_s);
            if !seen && now_s - row.t_s <= age_max_s {
                readings.push(row.clone());
            }
        }
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Protocol;
    use crate::measure::snapshot::Window;

    fn guards(rule: &str) -> Guards {
        let rule = Watch::new(crate::threshold::parse(rule).expect("a rule"));
        Guards {
            rules: vec![rule],
            latest: BTreeMap::new(),
            fresh: Vec::new(),
            age_max_s: READING_AGE_MAX_S,
            late_s: BTreeMap::new(),
            flight: Flight::default(),
        }
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

    /// When a rule is met by twenty users who are answered within their second, or after two, until `hangs_s`, and never from then on.
    fn hung_at(rule: &str, hangs_s: u64, until_s: u64, slow: bool) -> Option<u64> {
        let mut guards = guards(rule);
        let endpoint = Endpoint { name: "read".into(), protocol: Protocol::Http, route: "/".into() };
        (1..=until_s).find(|&end_s| {
            let mut window = Window::default();
            if end_s <= hangs_s {
                (window.sent, window.completed) = (20, 20);
                (0..20).for_each(|_| window.response.record(if slow { 2_000_000_000 } else { 1_000_000 }));
            } else if end_s == hangs_s + 1 {
                window.sent = 20;
            }
            let windows = vec![(!window.is_empty()).then(|| Box::new(window))];
            let second = Snapshot { end_s, windows, ..Snapshot::default() };
            guards.second(&second, std::slice::from_ref(&endpoint), 1).is_some()
        })
    }

    #[test]
    fn a_target_that_hangs_meets_a_rule_on_latency_although_nothing_ends() {
        // Sent by 6 s: a second old at 7 s, which is the first of five.
        assert_eq!(hung_at("p99(http) > 1s for 5s", 5, 60, false), Some(11));
        assert_eq!(hung_at("max(http{name=read}) >= 800ms for 5s", 5, 60, false), Some(11));
        assert_eq!(hung_at("mean(service:http) > 30s for 2s", 5, 60, false), Some(37));
        assert_eq!(hung_at("p99(http{name=other}) > 1s for 5s", 5, 60, false), None);
        assert_eq!(hung_at("p99(ws) > 1s for 5s", 5, 60, false), None);
        assert_eq!(hung_at("p99(http) < 1s for 8s", 5, 60, false), None, "nor does it make one good");
        assert_eq!(hung_at("rate(http) < 5/s for 3s", 5, 60, false), Some(8));
    }

    #[test]
    fn a_second_in_which_nothing_ended_is_as_the_one_before_while_requests_are_under_way() {
        // Slow and answered for three seconds, then hanging: it never was good again.
        assert_eq!(hung_at("p50(http) > 1s for 6s", 3, 60, true), Some(6));
        let failing = |guards: &mut Guards, end_s: u64, sent: u64, failures: u64| {
            let window = Window { sent, failures, ..Window::default() };
            let second = Snapshot { end_s, windows: vec![Some(Box::new(window))], ..Snapshot::default() };
            let endpoint = Endpoint { name: "read".into(), protocol: Protocol::Http, route: "/".into() };
            guards.second(&second, &[endpoint], 1).is_some()
        };
        // All users run into their time-out of 3 s, all in the same second, and try again; or think for two seconds before they do.
        let first_met = |sends: fn(u64) -> bool, fails: fn(u64) -> bool| {
            let mut guards = guards("error_rate > 50% for 5s");
            (1..=16).find(|&s| {
                let count = |yes: bool| if yes { 20 } else { 0 };
                failing(&mut guards, s, count(sends(s)), count(fails(s)))
            })
        };
        assert_eq!(
            first_met(|s| s == 1 || s % 3 == 0, |s| s % 3 == 0),
            Some(7),
            "from the first time-out on"
        );
        assert_eq!(
            first_met(|s| s % 4 == 2, |s| s % 4 == 0),
            None,
            "with nobody under way the row is broken"
        );
    }
}
