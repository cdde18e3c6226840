//! One scrape: every series with its value, and what has grown since another.

use super::exposition::{self, Sample};
use crate::clock;
use crate::limits::{SCRAPE_BYTES_MAX, SCRAPE_TIMEOUT, SERIES_GONE_MAX};
use crate::promql::{Labels, Query, Selector};
use std::collections::{BTreeMap, BTreeSet};

/// When a process of the target began, by the conventions of the client libraries: another time is another process.
const STARTED: &str = "process_start_time_seconds";

/// Histograms and summaries are their `_sum`, `_count` and `_bucket` series.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    series: BTreeMap<String, Vec<Series>>,
    /// When it was read, Unix seconds.
    read_unix_s: f64,
    repeated: usize,
    stale: usize,
    gone: Gone,
}

#[derive(Clone, Debug)]
struct Series {
    labels: Labels,
    value: f64,
    told: Option<Told>,
}

/// When what a series tells was so, where that is told, Unix seconds: one time, or those between which the times of all lie that it was reckoned of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    pub oldest_s: f64,
    pub newest_s: f64,
}

impl Told {
    pub fn at(unix_s: f64) -> Self {
        Self { oldest_s: unix_s, newest_s: unix_s }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { oldest_s: self.oldest_s.min(other.oldest_s), newest_s: self.newest_s.max(other.newest_s) }
    }
}

/// Series that were told before and are not now, by name.
#[derive(Clone, Debug, Default)]
struct Gone {
    series: BTreeMap<String, BTreeSet<Labels>>,
    /// There were more than are remembered: any could be one of them.
    forgotten: bool,
}

/// Age of a sample, by the time that it carries, past which Prometheus takes its series to have ended (`--query.lookback-delta`).
const STALE_S: f64 = 300.0;
/// How far ahead of the clock Prometheus takes a sample (`maxAheadTime` in `scrape/scrape.go`).
const AHEAD_MAX_S: f64 = 600.0;

/// What became of counters between two scrapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// There is none by that name, in one of the two at least.
    Unknown,
    /// By so much, all series together.
    By(f64),
    /// One of them fell or is gone: whoever counts has begun anew, and what was counted before is lost. Or one is back that was gone: how much
    /// of its growth is of this span nobody knows.
    Reset,
}

#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    #[error("{url}: {text}")]
    Unreachable { url: String, text: String },
    #[error("{url} answered {status}, not 200")]
    Status { url: String, status: u16 },
    #[error("{url} sent more than {SCRAPE_BYTES_MAX} bytes")]
    TooLarge { url: String },
    #[error("{url} did not answer with Prometheus text: {text}")]
    NotMetrics { url: String, text: String },
}

impl Scrape {
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_at(text, clock::unix_ns() as f64 / 1e9)
    }

    /// A scrape to put values in, of this time, Unix seconds.
    pub fn read_at(unix_s: f64) -> Self {
        Self { read_unix_s: unix_s, ..Self::default() }
    }

    /// As [`Scrape::parse`], read at a given time, Unix seconds.
    pub(super) fn parse_at(text: &str, now_unix_s: f64) -> Result<Self, String> {
        let mut scrape = Self::read_at(now_unix_s);
        let mut seen = BTreeSet::new();
        let present = now_unix_s - STALE_S..=now_unix_s + AHEAD_MAX_S;
        for Sample { name, labels, value, unix_s } in exposition::parse(text)? {
            if unix_s.is_some_and(|unix_s| !present.contains(&unix_s)) {
                scrape.stale += 1;
            } else if seen.insert((name.clone(), labels.clone())) {
                let told = unix_s.map(Told::at);
                scrape.series.entry(name).or_default().push(Series { labels, value, told });
            } else {
                scrape.repeated += 1;
            }
        }
        Ok(scrape)
    }

    /// Lines that told a series a second time; the first of them counts.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Lines that carry a time far from now, which do not count.
    pub fn stale(&self) -> usize {
        self.stale
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Adds the value of a query, for [`Scrape::reckoned`] to select.
    pub fn put(&mut self, query: &Query, value: f64, told: Option<Told>) {
        self.put_series(query, vec![(Labels::new(), value, told)]);
    }

    /// The same of a query that yields series.
    pub fn put_series(&mut self, query: &Query, series: Vec<(Labels, f64, Option<Told>)>) {
        let series = series.into_iter().map(|(labels, value, told)| Series { labels, value, told });
        self.series.insert(Self::reckoned(query).name().to_owned(), series.collect());
    }

    /// Remembers what `earlier` told and this does not, for [`Scrape::grown`] of the next.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        if self.started(earlier) {
            return self;
        }
        let mut gone = earlier.gone.clone();
        for (name, before) in &earlier.series {
            let now = self.series.get(name).map_or(&[][..], Vec::as_slice);
            let same = before.len() == now.len() && before.iter().zip(now).all(|(b, n)| b.labels == n.labels);
            if !same {
                let labels = before.iter().map(|series| series.labels.clone());
                gone.series.entry(name.clone()).or_default().extend(labels);
            }
        }
        for (name, labels) in &mut gone.series {
            self.series.get(name).into_iter().flatten().for_each(|there| {
                labels.remove(&there.labels);
            });
        }
        gone.series.retain(|_, labels| !labels.is_empty());
        if gone.series.values().map(BTreeSet::len).sum::<usize>() > SERIES_GONE_MAX {
            gone = Gone { series: BTreeMap::new(), forgotten: true };
        }
        self.gone = gone;
        self
    }

    /// The selector of what was put in as the value of this query. No metric has such a name.
    pub fn reckoned(query: &Query) -> Selector {
        Selector::new(&format!("= {query}"), &[])
    }

    /// Every series that matches.
    pub fn matching<'s>(&'s self, selector: &'s Selector) -> impl Iterator<Item = (&'s Labels, f64)> {
        self.selected(selector).map(|series| (&series.labels, series.value))
    }

    fn selected<'s>(&'s self, selector: &'s Selector) -> impl Iterator<Item = &'s Series> {
        let named = self.series.get(selector.name()).map_or(&[][..], Vec::as_slice);
        named.iter().filter(|series| selector.matches(selector.name(), &series.labels))
    }

    /// The same with the times that they carry, Unix seconds.
    pub fn timed<'s>(
        &'s self,
        selector: &'s Selector,
    ) -> impl Iterator<Item = (&'s Labels, f64, Option<Told>)> {
        self.selected(selector).map(|series| (&series.labels, series.value, series.told))
    }

    /// When it was read, Unix seconds.
    pub fn read_unix_s(&self) -> f64 {
        self.read_unix_s
    }

    /// The times between which what the matching series tell was so; `None` where the page gives none, and so tells of the present.
    pub fn told(&self, selector: &Selector) -> Option<Told> {
        self.selected(selector).filter_map(|series| series.told).reduce(Told::and)
    }

    /// Whether one of the matching series tells, by the times that both scrapes give it, nothing newer than it did in `earlier`.
    pub fn stands_still(&self, earlier: &Self, selector: &Selector) -> bool {
        let before: BTreeMap<&Labels, Option<Told>> =
            earlier.timed(selector).map(|(labels, _, told)| (labels, told)).collect();
        self.timed(selector).any(|(labels, _, told)| {
            let before = before.get(labels).copied().flatten();
            told.zip(before).is_some_and(|(now, before)| now.oldest_s <= before.newest_s)
        })
    }

    /// The sum of all matching series; `None` when there is none.
    pub fn get(&self, selector: &Selector) -> Option<f64> {
        self.matching(selector).fold(None, |sum, (_, value)| Some(sum.unwrap_or(0.0) + value))
    }

    /// How many match; `None` when there is none.
    pub fn count(&self, selector: &Selector) -> Option<f64> {
        Some(self.matching(selector).count() as f64).filter(|count| *count > 0.0)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.series.contains_key(name)
    }

    /// By how much the matching counters have grown since `earlier`. Series by series: in a sum the reset of one would hide in the growth of the
    /// others. One that was never there before has grown from zero.
    pub fn grown(&self, earlier: &Self, selector: &Selector) -> Growth {
        self.grown_by(earlier, selector, |_, _| Some(1.0))
    }

    /// The same in a span, seconds, where `looks_s` lie between the two scrapes. What is told of a series is of its own time, and two of them may
    /// come on at different ones: each counts by its growth in a second of that.
    pub fn grown_in(&self, earlier: &Self, selector: &Selector, span_s: f64, looks_s: f64) -> Growth {
        self.grown_by(earlier, selector, |before, now| {
            let told_s = now.told.zip(before.told).map(|(now, before)| now.newest_s - before.newest_s);
            let own_s = told_s.unwrap_or(looks_s);
            (own_s > 0.0).then(|| span_s / own_s)
        })
    }

    /// The growth of each series times a share, which for one that was there before may be unknown.
    fn grown_by(
        &self,
        earlier: &Self,
        selector: &Selector,
        share: impl Fn(&Series, &Series) -> Option<f64>,
    ) -> Growth {
        let before: BTreeMap<&Labels, &Series> = earlier.selected(selector).map(|s| (&s.labels, s)).collect();
        let now: BTreeMap<&Labels, &Series> = self.selected(selector).map(|s| (&s.labels, s)).collect();
        if before.is_empty() || now.is_empty() {
            return Growth::Unknown;
        }
        let lost =
            before.iter().any(|(labels, before)| now.get(labels).is_none_or(|now| now.value < before.value));
        let known = earlier.gone.series.get(selector.name());
        let back = now
            .keys()
            .filter(|labels| !before.contains_key(*labels))
            .any(|labels| earlier.gone.forgotten || known.is_some_and(|gone| gone.contains(*labels)));
        if lost || back || self.started(earlier) {
            return Growth::Reset;
        }
        let grown = now.iter().map(|(labels, now)| {
            let Some(before) = before.get(labels) else { return Some(now.value) };
            Some((now.value - before.value) * share(before, now)?)
        });
        grown.sum::<Option<f64>>().map_or(Growth::Unknown, Growth::By)
    }

    /// A process of the target has begun since `earlier`, or another answers: its counters may have passed the old ones by now.
    fn started(&self, earlier: &Self) -> bool {
        let since = |scrape: &Self| -> Option<Vec<(Labels, f64)>> {
            let series = scrape.series.get(STARTED)?.iter();
            Some(series.map(|series| (series.labels.clone(), series.value)).collect())
        };
        matches!((since(earlier), since(self)), (Some(before), Some(now)) if before != now)
    }

    /// The distinct values of `label` among the series called `name`.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let named = self.series.get(name).map_or(&[][..], Vec::as_slice);
        let values: BTreeSet<&String> = named.iter().filter_map(|series| series.labels.get(label)).collect();
        values.into_iter().cloned().collect()
    }
}

/// Fetches and parses one scrape.
///
/// # Errors
/// [`ScrapeError`] naming the URL and what was wrong.
pub async fn fetch(client: &reqwest::Client, url: &str) -> Result<Scrape, ScrapeError> {
    let unreachable =
        |error: reqwest::Error| ScrapeError::Unreachable { url: url.to_owned(), text: root_cause(&error) };
    let mut response = client.get(url).timeout(SCRAPE_TIMEOUT).send().await.map_err(unreachable)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(ScrapeError::Status { url: url.to_owned(), status: response.status().as_u16() });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > SCRAPE_BYTES_MAX {
            return Err(ScrapeError::TooLarge { url: url.to_owned() });
        }
    }
    let broken = |text: String| ScrapeError::NotMetrics { url: url.to_owned(), text };
    let text = String::from_utf8(bytes).map_err(|_| broken("it is not UTF-8".into()))?;
    // A large page takes a while, and the thread that coordinates the run has others to serve.
    let parsed = tokio::task::spawn_blocking(move || Scrape::parse(&text)).await;
    let scrape = parsed.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
    if scrape.is_empty() {
        return Err(broken("there is no metric in it".into()));
    }
    Ok(scrape)
}

/// reqwest says "error sending request"; what a person needs is the innermost cause.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP pool connections\n# TYPE pool gauge\npool{pool_name=\"mongodb\",state=\"used\"} 7\n\
        pool{pool_name=\"mongodb\",state=\"idle\"} 3\npool{pool_name=\"redis\",state=\"used\"} 1\n\
        # TYPE wait histogram\nwait_bucket{le=\"0.1\"} 4\nwait_bucket{le=\"+Inf\"} 5\nwait_sum 0.5\nwait_count 5\n\
        # TYPE total counter\ntotal 42\n";

    fn get(name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        Scrape::parse(TEXT).expect("parses").get(&Selector::new(name, labels))
    }

    #[test]
    fn a_selector_sums_what_it_does_not_name() {
        assert_eq!(get("pool", &[("pool_name", "mongodb"), ("state", "used")]), Some(7.0));
        assert_eq!(get("pool", &[("pool_name", "mongodb")]), Some(10.0));
        assert_eq!(get("pool", &[]), Some(11.0));
        assert_eq!(get("total", &[]), Some(42.0));
        assert_eq!(get("nothing", &[]), None);
        assert_eq!(get("pool", &[("state", "pending")]), None);
        assert_eq!((get("wait_sum", &[]), get("wait_bucket", &[("le", "0.1")])), (Some(0.5), Some(4.0)));
    }

    #[test]
    fn a_reset_does_not_hide_in_the_growth_of_the_others() {
        let scrape = |text: &str| Scrape::parse(text).expect("parses");
        let grown = |before: &str, now: &str| scrape(now).grown(&scrape(before), &Selector::new("c", &[]));
        assert_eq!(grown("c{i=\"0\"} 5\nc{i=\"1\"} 5", "c{i=\"0\"} 9\nc{i=\"1\"} 6"), Growth::By(5.0));
        assert_eq!(grown("c{i=\"0\"} 5\nc{i=\"1\"} 5", "c{i=\"0\"} 99\nc{i=\"1\"} 0"), Growth::Reset);
        assert_eq!(grown("c{i=\"0\"} 5\nc{i=\"1\"} 5", "c{i=\"0\"} 99"), Growth::Reset, "one is gone");
        assert_eq!(grown("c{i=\"0\"} 5", "c{i=\"0\"} 6\nc{i=\"1\"} 2"), Growth::By(3.0), "one is new");
        let third = |second: &str| {
            let first = scrape("c{i=\"0\"} 500\nc{i=\"1\"} 9");
            scrape("c{i=\"0\"} 501\nc{i=\"1\"} 11")
                .grown(&scrape(second).after(&first), &Selector::new("c", &[]))
        };
        assert_eq!(
            third("c{i=\"1\"} 10"),
            Growth::Reset,
            "one is back: its growth is not of this span alone"
        );
        assert_eq!(third("c{i=\"0\"} 500\nc{i=\"1\"} 10"), Growth::By(2.0));
        assert_eq!((grown("x 1", "c 1"), grown("c 1", "x 1")), (Growth::Unknown, Growth::Unknown));
        // It was restarted, and has counted beyond the old number since.
        let at = |started: u32, count: u32| format!("c {count}\nprocess_start_time_seconds {started}\n");
        assert_eq!(grown(&at(100, 5), &at(100, 7)), Growth::By(2.0));
        assert_eq!(grown(&at(100, 5), &at(160, 7)), Growth::Reset);
    }

    #[test]
    fn what_carries_a_time_of_long_ago_is_none_of_the_present() {
        let text = "a 1 1000000\nb 2 1299000\nc 3 1000\nd 4\n";
        let scrape = Scrape::parse_at(text, 1_301.0).expect("parses");
        assert_eq!(scrape.series.keys().collect::<Vec<_>>(), ["b", "d"], "in milliseconds");
        assert_eq!(scrape.stale(), 2);
        let ahead = Scrape::parse_at("a 1 1900000\nb 2 1902000\n", 1_301.0).expect("parses");
        assert_eq!((ahead.has("a"), ahead.stale()), (true, 1), "ten minutes and no more");
        let open = Scrape::parse_at("a 1 1000\nb 2 1299.5\n# EOF\n", 1_301.0).expect("parses");
        assert_eq!((open.has("b"), open.stale()), (true, 1), "OpenMetrics has seconds");
    }

    #[test]
    fn each_series_grows_in_its_own_time() {
        let at = |one: (u32, u32), other: (u32, u32)| {
            let text =
                format!("a{{i=\"0\"}} {} {}\na{{i=\"1\"}} {} {}\nb 1\n", one.0, one.1, other.0, other.1);
            Scrape::parse_at(&text, 60.0).expect("parses")
        };
        let (all, one, none) =
            (Selector::new("a", &[]), Selector::new("a", &[("i", "0")]), Selector::new("b", &[]));
        let (first, half) = (at((0, 10_000), (0, 14_000)), at((15, 25_000), (0, 14_000)));
        assert_eq!(first.told(&all), Some(Told { oldest_s: 10.0, newest_s: 14.0 }));
        assert_eq!(first.told(&none), None);
        assert!(half.stands_still(&first, &all) && !half.stands_still(&first, &one));
        assert!(!half.stands_still(&first, &none), "it tells of the present");
        assert_eq!(half.grown_in(&first, &all, 11.0, 1.0), Growth::Unknown, "one has not come on");
        let second = at((15, 25_000), (30, 44_000));
        assert!(!second.stands_still(&first, &all));
        assert_eq!(second.grown_in(&first, &all, 30.0, 1.0), Growth::By(60.0), "one and one a second");
        assert_eq!(second.grown(&first, &all), Growth::By(45.0));
        let query = Query::of_scrapes("sum(a)").expect("a query");
        let reckoned = |oldest_s: f64, newest_s: f64| {
            let mut scrape = Scrape::default();
            scrape.put(&query, 1.0, Some(Told { oldest_s, newest_s }));
            scrape
        };
        let sum = Scrape::reckoned(&query);
        assert!(reckoned(4.0, 15.0).stands_still(&reckoned(0.0, 4.0), &sum), "one of two has come on");
        assert!(!reckoned(15.0, 19.0).stands_still(&reckoned(0.0, 4.0), &sum));
    }

    #[test]
    fn a_series_that_is_told_twice_counts_once() {
        let scrape = Scrape::parse("c{a=\"1\"} 5\nc{a=\"1\"} 6\nc 1\n").expect("parses");
        assert_eq!((scrape.get(&Selector::new("c", &[])), scrape.repeated()), (Some(6.0), 1));
    }
}
