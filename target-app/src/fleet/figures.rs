//! The figures of a fleet: the metrics of its replicas, added up. Every one of them is an amount (a count, a number in use,
//! a limit, the requests in a bucket), so the sum is the same figure of the whole. Labels are untouched: two series are
//! the same when their text is, because the same code wrote them.
//!
//! The few that are no amounts (see [`WORST`]) are those of the worst replica.
//!
//! What a dead replica has counted stays in the sum, or a counter would fall and a reader would take that for a restart of
//! the whole fleet.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::metrics::EVENT_LOOP_LAG;
use crate::queue::JOB_COUNT;
use crate::store::{ELECTIONS, MEMBERS_STATE};

/// Of these a fleet has that of its worst replica, or of any where all see the same.
const WORST: &[&str] = &[EVENT_LOOP_LAG, JOB_COUNT, MEMBERS_STATE, ELECTIONS];

/// Series that are added up, by family.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    families: BTreeMap<String, Family>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Family {
    help: String,
    kind: String,
    /// In the order of their first occurrence, which keeps the buckets of a histogram in theirs.
    series: Vec<(String, f64)>,
}

impl Figures {
    /// Adds everything in one replica's Prometheus text.
    pub(super) fn add(&mut self, text: &str) {
        self.add_where(text, |_| true);
    }

    /// Adds what only ever grows: what a replica leaves behind when it dies.
    pub(super) fn add_counted(&mut self, text: &str) {
        self.add_where(text, |kind| matches!(kind, "counter" | "histogram"));
    }

    fn add_where(&mut self, text: &str, wanted: impl Fn(&str) -> bool) {
        let mut help = "";
        let mut family: Option<&mut Family> = None;
        let mut next = 0;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').map_or("", |(_, help)| help);
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                next = 0;
                family = wanted(kind).then(|| {
                    let family = self.families.entry(name.to_owned()).or_default();
                    if family.kind.is_empty() {
                        (family.help, family.kind) = (help.to_owned(), kind.to_owned());
                    }
                    family
                });
            } else if let Some(family) = &mut family
                && let Some((series, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse::<f64>()
            {
                // Replicas write their series in one order, so the next one is nearly always where it is looked for first.
                let is_it = |(known, _): &(String, f64)| known == series;
                let there = family.series.get(next).is_some_and(is_it).then_some(next);
                let place = there.or_else(|| family.series.iter().position(is_it));
                let place = place.unwrap_or_else(|| {
                    family.series.push((series.to_owned(), 0.0));
                    family.series.len() - 1
                });
                let of_all = &mut family.series[place].1;
                *of_all = if WORST.contains(&name_of(series)) { of_all.max(value) } else { *of_all + value };
                next = place + 1;
            }
        }
    }

    /// Sets a figure of the fleet itself, of one series without labels.
    pub(super) fn set(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        let family =
            Family { help: help.to_owned(), kind: kind.to_owned(), series: vec![(name.to_owned(), value)] };
        self.families.insert(name.to_owned(), family);
    }

    /// The value of a series without labels; zero for one that is not there.
    pub(super) fn value(&self, name: &str) -> f64 {
        let series = self.families.get(name).and_then(|family| family.series.first());
        series.map_or(0.0, |(_, value)| *value)
    }

    /// Prometheus text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            for (series, value) in &family.series {
                let _ = writeln!(text, "{series} {value}");
            }
        }
        text
    }
}

/// The name of a series without its labels.
fn name_of(series: &str) -> &str {
    series.split_once('{').map_or(series, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::Figures;

    fn replica(requests: u32, open: u32) -> String {
        format!(
            "# HELP open Connections \"open\".\n# TYPE open gauge\nopen{{pool=\"a b\"}} {open}\n\
             # HELP took_seconds Time.\n# TYPE took_seconds histogram\ntook_seconds_bucket{{le=\"0.5\"}} {requests}\n\
             took_seconds_bucket{{le=\"+Inf\"}} {requests}\ntook_seconds_sum 1.5\ntook_seconds_count {requests}\n\
             # HELP sent_total Requests.\n# TYPE sent_total counter\nsent_total{{route=\"/a\"}} {requests}\n"
        )
    }

    #[test]
    fn everything_adds_up_and_only_counts_outlive_a_replica() {
        let mut figures = Figures::default();
        figures.add_counted(&replica(100, 7));
        figures.add(&replica(1, 2));
        figures.add(&replica(2, 3));
        figures.set("fleet", "gauge", "Replicas.", 2.0);
        insta::assert_snapshot!(figures.text(), @r#"
        # HELP fleet Replicas.
        # TYPE fleet gauge
        fleet 2
        # HELP open Connections "open".
        # TYPE open gauge
        open{pool="a b"} 5
        # HELP sent_total Requests.
        # TYPE sent_total counter
        sent_total{route="/a"} 103
        # HELP took_seconds Time.
        # TYPE took_seconds histogram
        took_seconds_bucket{le="0.5"} 103
        took_seconds_bucket{le="+Inf"} 103
        took_seconds_sum 4.5
        took_seconds_count 103
        "#);
    }

    #[test]
    fn how_late_the_event_loop_is_does_not_add_up() {
        let mut figures = Figures::default();
        for late in ["0.2", "0.5", "0.1"] {
            let name = "nodejs_eventloop_lag_p99_seconds";
            figures.add(&format!("# HELP {name} Late.\n# TYPE {name} gauge\n{name} {late}\n"));
        }
        assert!(figures.text().ends_with("nodejs_eventloop_lag_p99_seconds 0.5\n"), "{}", figures.text());
    }

    #[test]
    fn a_queue_that_all_replicas_share_is_counted_once() {
        let mut figures = Figures::default();
        for (waiting, active) in [(7, 2), (7, 3)] {
            let series = |state: &str| format!("bullmq_job_count{{queue=\"orders\",state=\"{state}\"}}");
            figures.add(&format!(
                "# HELP bullmq_job_count Jobs.\n# TYPE bullmq_job_count gauge\n{} {waiting}\n{} {active}\n",
                series("waiting"),
                series("active"),
            ));
        }
        let text = figures.text();
        assert!(text.contains("state=\"waiting\"} 7\n") && text.contains("state=\"active\"} 3\n"), "{text}");
    }

    proptest! {
        #[test]
        fn the_sum_of_one_is_that_one_and_the_order_does_not_matter(
            a in any::<u32>(), b in any::<u32>(), c in any::<u32>(),
        ) {
            let texts = [replica(a, b), replica(b, c), replica(c, a)];
            let sum = |texts: &[&String]| {
                let mut figures = Figures::default();
                texts.iter().for_each(|text| figures.add(text));
                figures
            };
            let one = sum(&[&texts[0]]);
            assert_eq!(sum(&[&one.text()]), one);
            assert_eq!(sum(&[&texts[0], &texts[1], &texts[2]]), sum(&[&texts[2], &texts[0], &texts[1]]));
        }

        #[test]
        fn no_text_is_too_odd_to_read(text in ".{0,200}") {
            Figures::default().add(&text);
        }
    }
}
