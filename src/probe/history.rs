//! What queries over scrapes need of the past: the points of the counters they name, as far back as they look.

use super::prometheus::Scrape;
use crate::limits::{QUERY_POINTS_MAX, QUERY_SERIES_MAX};
use crate::promql::{Labels, Point, Query, Selector, Series};
use std::collections::BTreeMap;

/// The series of one selector.
#[derive(Debug)]
struct Kept {
    selector: Selector,
    window_s: f64,
    points: BTreeMap<Labels, Vec<Point>>,
}

/// The scrapes of one source as its queries see them.
#[derive(Debug, Default)]
pub struct History {
    kept: Vec<Kept>,
    latest: Scrape,
    /// When the first of what is kept was read, and how many were since.
    began_s: Option<f64>,
    scrapes: u32,
    now_s: f64,
}

/// More series than can be kept were selected, for as long as was asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its queries would keep more than {QUERY_POINTS_MAX} points or {QUERY_SERIES_MAX} series: name labels, look back less far, or write a \
     longer `every`"
)]
pub struct TooMany;

impl History {
    /// Keeps what these queries will ask for.
    pub fn of<'q>(queries: impl IntoIterator<Item = &'q Query>) -> Self {
        let mut history = Self::default();
        for (selector, window_s) in queries.into_iter().flat_map(Query::ranges) {
            match history.kept.iter_mut().find(|kept| kept.selector == *selector) {
                Some(kept) => kept.window_s = kept.window_s.max(window_s),
                None => {
                    let selector = selector.clone();
                    history.kept.push(Kept { selector, window_s, points: BTreeMap::new() });
                }
            }
        }
        history
    }

    /// Takes in a scrape of the instant `now_s`.
    ///
    /// # Errors
    /// [`TooMany`]; what was kept is given up, and queries over spans have no value until they are full anew.
    pub fn push(&mut self, scrape: Scrape, now_s: f64) -> Result<(), TooMany> {
        self.now_s = now_s;
        self.began_s.get_or_insert(now_s);
        self.scrapes = self.scrapes.saturating_add(1);
        for Kept { selector, window_s, points } in &mut self.kept {
            for (labels, value) in scrape.matching(selector) {
                points.entry(labels.clone()).or_default().push(Point { t_s: now_s, value });
            }
            let from_s = now_s - *window_s;
            points.retain(|_, points| {
                points.retain(|point| point.t_s > from_s);
                !points.is_empty()
            });
        }
        self.latest = scrape;
        let count: usize = self.kept.iter().flat_map(|kept| kept.points.values()).map(Vec::len).sum();
        let series: usize = self.kept.iter().map(|kept| kept.points.len()).sum();
        if count > QUERY_POINTS_MAX || series > QUERY_SERIES_MAX {
            (self.began_s, self.scrapes) = (None, 0);
            self.kept.iter_mut().for_each(|kept| kept.points.clear());
            return Err(TooMany);
        }
        Ok(())
    }

    pub fn latest(&self) -> &Scrape {
        &self.latest
    }
}

impl Series for History {
    fn now_s(&self) -> f64 {
        self.now_s
    }

    /// Less one distance of scrapes: the first of a span lies inside it.
    fn spans(&self, window_s: f64) -> bool {
        let Some(began_s) = self.began_s else { return false };
        let known_s = self.now_s - began_s;
        let distance_s = known_s / f64::from(self.scrapes.saturating_sub(1).max(1));
        known_s + distance_s >= window_s
    }

    fn instant(&self, selector: &Selector) -> Vec<(Labels, f64)> {
        self.latest.matching(selector).map(|(labels, value)| (labels.clone(), value)).collect()
    }

    fn range(&self, selector: &Selector, window_s: f64) -> Vec<(Labels, Vec<Point>)> {
        let from_s = self.now_s - window_s;
        let kept = self.kept.iter().filter(|kept| kept.selector == *selector);
        let within = |points: &[Point]| points.iter().filter(|p| p.t_s > from_s).copied().collect();
        kept.flat_map(|kept| &kept.points).map(|(labels, points)| (labels.clone(), within(points))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_scrapes_of_its_span_and_survives_one_that_failed() {
        let query = Query::of_scrapes("sum(rate(c_total[10s]))").expect("a query");
        let mut history = History::of([&query]);
        let mut values = Vec::new();
        // One scrape every two seconds, and none at 8 s. Twenty in a second until 12 s, then none.
        for t_s in [2_u32, 4, 6, 10, 12, 14, 16, 18, 20, 22] {
            let count = 20 * t_s.min(12);
            let text = format!("c_total{{a=\"1\"}} {count}\nc_total{{a=\"2\"}} 7\nother 1\n");
            history.push(Scrape::parse(&text).expect("parses"), f64::from(t_s)).expect("few points");
            values.push(query.value(&history).expect("one value"));
        }
        assert_eq!(values[0], None, "one point says nothing of growth");
        assert_eq!(values[1..3], [None, None], "nor is less than the span the span");
        assert!(
            values[3..5].iter().all(|rate| rate.is_some_and(|rate| (rate - 20.0).abs() < 1e-9)),
            "{values:?}"
        );
        assert_eq!(values.last(), Some(&Some(0.0)));
        assert_eq!(history.kept[0].points.values().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    }

    #[test]
    fn a_span_that_is_not_yet_known_is_no_zero() {
        let query = |text: &str| Query::of_scrapes(text).expect("a query");
        let late = query("sum(rate(errors_total[1m])) or vector(0)");
        let last_two = query("irate(c_total[1m])");
        let mut history = History::of([&late, &last_two]);
        for t_s in 0..70_u32 {
            history
                .push(Scrape::parse(&format!("c_total {t_s}\n")).expect("parses"), f64::from(t_s))
                .expect("few");
            let known = (t_s >= 59).then_some(0.0);
            assert_eq!(late.value(&history), Ok(known), "{t_s}");
            assert_eq!(last_two.value(&history), Ok((t_s > 0).then_some(1.0)), "{t_s}: it needs two points");
        }
    }

    #[test]
    fn too_many_series_are_given_up_until_the_span_is_full_anew() {
        let query = Query::of_scrapes("sum(rate(c_total[2s]))").expect("a query");
        let mut history = History::of([&query]);
        let page = |from: usize, count: usize| {
            let lines = (from..from + count).map(|i| format!("c_total{{i=\"{i}\"}} 1\n"));
            Scrape::parse(&lines.collect::<String>()).expect("parses")
        };
        let half = QUERY_SERIES_MAX / 2 + 1;
        assert_eq!(history.push(page(0, half), 1.0), Ok(()));
        // New ones each time, as of a label that is an identifier.
        assert_eq!(history.push(page(half, half), 2.0), Err(TooMany));
        assert_eq!(query.value(&history), Ok(None));
        assert_eq!(history.push(page(0, 1), 3.0), Ok(()));
        assert_eq!(query.value(&history), Ok(None));
        assert_eq!(history.push(page(0, 1), 4.0), Ok(()));
        assert_eq!(query.value(&history), Ok(Some(0.0)));
    }
}
