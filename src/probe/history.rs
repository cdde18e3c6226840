//! What queries over scrapes need of the past: the points of the counters they name, as far back as they look.

use super::prometheus::{Scrape, Told};
use crate::limits::{QUERY_POINTS_MAX, QUERY_SERIES_MAX};
use crate::promql::{EvalError, Labels, Point, Query, Selector, Series};
use std::collections::BTreeMap;

/// The series of one selector.
#[derive(Debug)]
struct Kept {
    selector: Selector,
    window_s: f64,
    points: BTreeMap<Labels, Vec<Point>>,
    /// Since when it is known, and at how many times it was; nothing before the first scrape.
    began_s: Option<f64>,
    latest_s: f64,
    times: u32,
}

/// The scrapes of one source as its queries see them. What a page gives a time is of that, on the clock of whoever reads it; all else is of the instant of the scrape.
#[derive(Debug, Default)]
pub struct History {
    kept: Vec<Kept>,
    latest: Scrape,
    now_s: f64,
    /// What Unix time it was when the reader's clock read zero, by the first scrape: a time that is told twice stays the same.
    zero_unix_s: Option<f64>,
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
                    let points = BTreeMap::new();
                    let (began_s, latest_s, times) = (None, f64::NEG_INFINITY, 0);
                    history.kept.push(Kept { selector, window_s, points, began_s, latest_s, times });
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
        let zero_unix_s = *self.zero_unix_s.get_or_insert(scrape.read_unix_s() - now_s);
        for Kept { selector, window_s, points, began_s, latest_s, times } in &mut self.kept {
            let mut newest_s = None;
            for (labels, value, told) in scrape.timed(selector) {
                let t_s = told.map_or(now_s, |told| told.newest_s - zero_unix_s);
                newest_s = newest_s.into_iter().chain([t_s]).reduce(f64::max);
                let points = match points.get_mut(labels) {
                    Some(points) => points,
                    None => points.entry(labels.clone()).or_default(),
                };
                if points.last().is_none_or(|last| last.t_s < t_s) {
                    points.push(Point { t_s, value });
                }
            }
            let newest_s = newest_s.unwrap_or(now_s);
            began_s.get_or_insert(newest_s);
            if newest_s > *latest_s {
                *latest_s = newest_s;
                *times = times.saturating_add(1);
            }
            let from_s = newest_s - *window_s;
            points.retain(|_, points| {
                points.retain(|point| point.t_s > from_s);
                !points.is_empty()
            });
        }
        self.latest = scrape;
        let count: usize = self.kept.iter().flat_map(|kept| kept.points.values()).map(Vec::len).sum();
        let series: usize = self.kept.iter().map(|kept| kept.points.len()).sum();
        if count > QUERY_POINTS_MAX || series > QUERY_SERIES_MAX {
            for kept in &mut self.kept {
                kept.points.clear();
                (kept.began_s, kept.latest_s, kept.times) = (None, f64::NEG_INFINITY, 0);
            }
            return Err(TooMany);
        }
        Ok(())
    }

    /// The value of a query as of the newest of what it names, and the times that this carries.
    ///
    /// # Errors
    /// As [`Query::value`].
    pub fn value(&self, query: &Query) -> Result<Option<(f64, Option<Told>)>, EvalError> {
        let times =
            || query.selectors().flat_map(|selector| self.latest.timed(selector)).map(|(.., told)| told);
        let told = times().flatten().reduce(Told::and);
        let newest = told.zip(self.zero_unix_s).filter(|_| times().all(|told| told.is_some()));
        let now_s = newest.map_or(self.now_s, |(told, zero_unix_s)| told.newest_s - zero_unix_s);
        let value = query.value(&AsOf { history: self, query, now_s })?;
        Ok(value.map(|value| (value, told)))
    }
}

/// A history as one of its queries sees it.
struct AsOf<'h> {
    history: &'h History,
    query: &'h Query,
    now_s: f64,
}

impl AsOf<'_> {
    fn kept(&self, selector: &Selector) -> Option<&Kept> {
        self.history.kept.iter().find(|kept| kept.selector == *selector)
    }
}

impl Series for AsOf<'_> {
    fn now_s(&self) -> f64 {
        self.now_s
    }

    /// Less one distance of its times: the first of a span lies inside it.
    fn spans(&self, window_s: f64) -> bool {
        self.query.ranges().into_iter().all(|(selector, _)| {
            let kept = self.kept(selector);
            kept.and_then(|kept| kept.began_s.zip(Some(kept.times))).is_some_and(|(began_s, times)| {
                let known_s = self.now_s - began_s;
                let distance_s = known_s / f64::from(times.saturating_sub(1).max(1));
                known_s + distance_s >= window_s
            })
        })
    }

    fn instant(&self, selector: &Selector) -> Vec<(Labels, f64)> {
        let latest = self.history.latest.matching(selector);
        latest.map(|(labels, value)| (labels.clone(), value)).collect()
    }

    fn range(&self, selector: &Selector, window_s: f64) -> Vec<(Labels, Vec<Point>)> {
        let span = |t_s: f64| t_s > self.now_s - window_s && t_s <= self.now_s;
        let within = |points: &[Point]| points.iter().filter(|p| span(p.t_s)).copied().collect();
        let kept = self.kept(selector).into_iter().flat_map(|kept| &kept.points);
        kept.map(|(labels, points)| (labels.clone(), within(points))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(history: &History, query: &Query) -> Option<f64> {
        history.value(query).expect("one value").map(|(value, _)| value)
    }

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
            values.push(value(&history, &query));
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
            assert_eq!(value(&history, &late), known, "{t_s}");
            assert_eq!(value(&history, &last_two), (t_s > 0).then_some(1.0), "{t_s}: it needs two points");
        }
    }

    #[test]
    fn what_carries_a_time_is_filed_by_that() {
        let query = Query::of_scrapes("sum(rate(c_total[10s]))").expect("a query");
        let mut history = History::of([&query]);
        // Two a second; told anew every third second, which is a second old then, until it stands still.
        for t_s in 0..40_u32 {
            let told_s = t_s.min(24) / 3 * 3;
            let text = format!("c_total {} {}\n", 100 + 2 * told_s, 1_000 * (1_000 + told_s));
            let scrape = Scrape::parse_at(&text, f64::from(1_001 + t_s)).expect("parses");
            history.push(scrape, f64::from(t_s)).expect("few points");
            let found = history.value(&query).expect("one value");
            let known = (t_s >= 9).then_some((2.0, Some(Told::at(f64::from(1_000 + told_s)))));
            assert_eq!(found, known, "{t_s}");
        }
        assert_eq!(
            history.kept[0].points.values().map(Vec::len).collect::<Vec<_>>(),
            [4],
            "one of each time"
        );
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
        assert_eq!(value(&history, &query), None);
        assert_eq!(history.push(page(0, 1), 3.0), Ok(()));
        assert_eq!(value(&history, &query), None);
        assert_eq!(history.push(page(0, 1), 4.0), Ok(()));
        assert_eq!(value(&history, &query), Some(0.0));
    }
}
