//! The safety rules of a running test, and the readings they ask about. Seconds and readings come at their own times, so a resource
//! without a reading in a second is judged by its latest one, as long as that is fresh.

use super::flight::{Flight, InFlight};
use crate::endpoint::Endpoint;
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::record::rows::{SIGNAL, SaturationRow};
use crate::scenario::plan::Plan;
use crate::threshold::Watch;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Guards {
    rules: Vec<Watch>,
    /// By name, each with how old it may be and stand for the present, as its source has it.
    latest: BTreeMap<String, (SaturationRow, Duration)>,
    /// Readings since the last second.
    fresh: Vec<SaturationRow>,
    /// Rules that have had nothing to go by for too long, which was not told yet.
    blind: Vec<String>,
    flight: Flight,
}

impl Guards {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            rules: plan.safety.abort_when.iter().cloned().map(Watch::new).collect(),
            latest: BTreeMap::new(),
            fresh: Vec::new(),
            blind: Vec::new(),
            flight: Flight::default(),
        }
    }

    /// Takes in readings of one source, and for how long each stands for the present.
    pub(super) fn readings(&mut self, rows: Vec<SaturationRow>, stands_for: Duration) {
        for row in rows {
            self.latest.insert(row.resource.clone(), (row.clone(), stands_for));
            self.fresh.push(row);
        }
    }

    /// The latest reading of each resource.
    pub(super) fn latest(&self) -> Vec<SaturationRow> {
        self.latest.values().map(|(row, _)| row).filter(|row| row.kind != SIGNAL).cloned().collect()
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
            if rule.turned_blind() {
                self.blind.push(format!(
                    "safety rule `{}` has had no reading for longer than it asks for, and cannot be met: see the events `probe`",
                    rule.threshold().text
                ));
            }
        }
        met
    }

    /// Rules that have nothing to go by; each is told once, and again after it had.
    pub(super) fn blind(&mut self) -> Vec<String> {
        std::mem::take(&mut self.blind)
    }

    fn take_readings(&mut self, now_s: f64) -> Vec<SaturationRow> {
        let mut readings = std::mem::take(&mut self.fresh);
        for (resource, (row, stands_for)) in &self.latest {
            let seen = readings.iter().any(|reading| &reading.resource == resource);
            if !seen && now_s - row.t_s <= stands_for.as_secs_f64() {
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
            blind: Vec::new(),
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
                guards.readings(vec![reading(end_s as f64 - 0.5, *used)], Duration::from_secs(3));
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

    #[test]
    fn each_source_has_its_own_freshness() {
        let mut guards = guards("used(pool) > 9 for 5s");
        let second = |end_s: u64| Snapshot { end_s, ..Snapshot::default() };
        // Another source is read once a minute: that makes no old reading of this one fresh.
        let other = SaturationRow { resource: "other".into(), ..reading(0.5, 1.0) };
        guards.readings(vec![other], Duration::from_secs(62));
        guards.readings(vec![reading(0.5, 10.0)], Duration::from_secs(3));
        assert!((1..=9).all(|end_s| guards.second(&second(end_s), &[], 1).is_none()));
        assert_eq!(guards.take_readings(10.0).len(), 1);
    }

    #[test]
    fn a_rule_that_has_nothing_to_go_by_is_told_once() {
        let mut guards = guards("used(pool) > 9 for 4s");
        let mut told = Vec::new();
        for end_s in 1..=30_u64 {
            if end_s == 12 {
                guards.readings(vec![reading(11.5, 1.0)], Duration::from_secs(3));
            }
            assert!(guards.second(&Snapshot { end_s, ..Snapshot::default() }, &[], 1).is_none());
            told.extend(guards.blind().into_iter().map(|text| (end_s, text)));
        }
        // Blind from the first second on, and again once the reading of 11.5 s is old.
        assert_eq!(told.iter().map(|(end_s, _)| *end_s).collect::<Vec<_>>(), [5, 19], "{told:?}");
        assert!(told[0].1.contains("`used(pool) > 9 for 4s`"));
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
