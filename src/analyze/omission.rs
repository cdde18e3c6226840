//! What a closed load cannot show. A user without pacing asks for nothing while it waits: the target sets the rate, and a stall of a second
//! is one slow request to each user, however many it would have sent meanwhile. The percentiles count requests, and hardly show what took a
//! large part of the time. Open and paced loads need no such word, as each of their requests is charged from the instant it was due.

use crate::endpoint::Protocol;
use crate::measure::histogram::Histogram;
use crate::record::recorded::Recorded;
use crate::record::span::RecordedSpan;
use crate::record::summary::Warning;
use crate::threshold::{Stats as _, Which};

/// Requests this many times slower than p99 are what p99 does not show.
const OUTSIDE_P99: u64 = 3;

/// Share of the users' time that may go into such requests without a word. A service whose times spread a lot without ever standing still
/// stays below (a log-normal spread with σ = 1 puts under 1 % there); a target that stands still for 1 s in 10 has 10 %. Users who wait for
/// less than this in all, since they mostly think, lose too little to a stall for it to hide.
const HIDDEN_RATIO_MAX: f64 = 0.05;

/// Requests from which a p99 means something.
const REQUESTS_MIN: u64 = 1_000;

const REMEDY: &str = "use `executor: open`, or give the scenario a `pacing`: then each iteration is charged from the instant it was due, also those that a stall makes late";

/// What a span hides.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hidden {
    /// Of the users' time.
    time_ratio: f64,
    /// Of the requests.
    requests_ratio: f64,
    slower_than_ns: u64,
}

/// A span of the record with what omission is told from.
struct Span {
    /// Where it was, ` at 40 users`; empty for a whole run.
    at: String,
    service: Histogram,
    user_s: f64,
    /// HTTP requests that ended, per second.
    rate_per_s: f64,
}

impl Span {
    fn new(recorded: &Recorded, at: String, span_s: [f64; 2]) -> Self {
        let span = RecordedSpan::new(recorded, span_s);
        let (ended, _) = span.requests(Some(Protocol::Http), None);
        Self {
            at,
            service: span.histogram(Which::Service, Some(Protocol::Http), None),
            user_s: span.user_seconds(),
            rate_per_s: ended as f64 / span.seconds().max(f64::EPSILON),
        }
    }
}

/// A warning where the record is of users who send when they are ready: that its percentiles hide a stall, or that they would. Of a search
/// only levels that passed are looked at, for a stall: one that failed needs no further doubt, and each has its rate beside it anyway.
pub(super) fn closed_loop(recorded: &Recorded) -> Option<Warning> {
    let manifest = &recorded.manifest;
    if !manifest.self_timed {
        return None;
    }
    let levels = manifest.levels.iter().filter(|mark| mark.good);
    let mut spans: Vec<Span> = levels
        .map(|mark| Span::new(recorded, format!(" at {} users", mark.level), mark.counted_s()))
        .collect();
    let plain = manifest.level_unit.is_none();
    if plain {
        spans.push(Span::new(recorded, String::new(), recorded.whole_span()));
    }
    let worst = spans
        .iter()
        .filter_map(|span| Some((span, hidden(&span.service, span.user_s)?)))
        .max_by(|(_, a), (_, b)| a.time_ratio.total_cmp(&b.time_ratio));
    let (code, text) = match worst {
        Some((span, hidden)) => (
            "stall_hidden",
            format!(
                "requests slower than {:.1} ms took {:.0} % of the users' time{} but are only {:.2} % of the requests: users without pacing ask nothing while they wait, so the percentiles hide a stall (achieved {:.0} requests/s)",
                hidden.slower_than_ns as f64 / 1e6,
                hidden.time_ratio * 100.0,
                span.at,
                hidden.requests_ratio * 100.0,
                span.rate_per_s
            ),
        ),
        None => {
            let span = spans.last().filter(|_| plain)?;
            let waited = waited(&span.service, span.user_s)?;
            (
                "closed_loop",
                format!(
                    "users without pacing waited for answers {:.0} % of their time and ask nothing meanwhile: the target has its part in the rate ({:.0} requests/s achieved), and a stall would show in few of the requests",
                    waited * 100.0,
                    span.rate_per_s
                ),
            )
        }
    };
    Some(Warning { code: code.to_owned(), text, remedy: REMEDY.to_owned() })
}

/// Share of the users' time that went into HTTP requests, where it is enough for a stall to hide in: few requests will do, since users who
/// never pause and are kept waiting for minutes make few.
fn waited(service: &Histogram, user_s: f64) -> Option<f64> {
    if user_s <= 0.0 {
        return None;
    }
    let spent_s = service.mean_ns() / 1e9 * service.count() as f64;
    let ratio = (spent_s / user_s).min(1.0);
    (ratio > HIDDEN_RATIO_MAX).then_some(ratio)
}

fn hidden(service: &Histogram, user_s: f64) -> Option<Hidden> {
    if service.count() < REQUESTS_MIN || user_s <= 0.0 {
        return None;
    }
    let slower_than_ns = OUTSIDE_P99 * service.quantile_ns(0.99);
    let slow = || service.hdr().iter_recorded().filter(|bucket| bucket.value_iterated_to() > slower_than_ns);
    let count: u64 = slow().map(|bucket| bucket.count_at_value()).sum();
    let spent_s: f64 =
        slow().map(|bucket| bucket.value_iterated_to() as f64 / 1e9 * bucket.count_at_value() as f64).sum();
    let time_ratio = spent_s / user_s;
    let requests_ratio = count as f64 / service.count() as f64;
    (time_ratio > HIDDEN_RATIO_MAX).then_some(Hidden { time_ratio, requests_ratio, slower_than_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Service times of users who send without a pause for `user_s` in all.
    fn carried(user_s: f64, times_ms: impl Fn(u64) -> f64) -> Option<Hidden> {
        let mut service = Histogram::new();
        let mut spent_s = 0.0;
        for n in 0.. {
            if spent_s >= user_s {
                break;
            }
            let ms = times_ms(n);
            service.record((ms * 1e6) as u64);
            spent_s += ms / 1e3;
        }
        hidden(&service, user_s)
    }

    #[test]
    fn a_target_that_stands_still_is_hidden_and_one_that_varies_is_not() {
        // Half a second of standing still after 2,250 requests of 2 ms: a tenth of the time.
        let stands_still = carried(100.0, |n| if n % 2_250 == 2_249 { 500.0 } else { 2.0 });
        let found = stands_still.expect("a tenth of the time");
        assert!((found.time_ratio - 0.1).abs() < 0.01, "{found:?}");
        assert!(found.requests_ratio < 0.001, "{found:?}");
        // Exponential times by the inverse of their distribution, in an order that visits all of it evenly.
        let exponential = |n: u64| -20.0 * (1.0 - (n as f64 * 0.618_033_988_75).fract()).ln();
        assert_eq!(carried(100.0, exponential), None);
    }

    #[test]
    fn users_who_mostly_think_need_no_word() {
        let mut service = Histogram::new();
        (0..1_000).for_each(|_| service.record(20_000_000));
        let share = waited(&service, 100.0).expect("20 s of 100 s");
        assert!((share - 0.2).abs() < 0.01, "{share}");
        assert_eq!(waited(&service, 1_000.0), None, "20 s of 1,000 s");
        assert_eq!(waited(&Histogram::new(), 0.0), None, "nobody was there");
        assert_eq!(waited(&Histogram::new(), 10.0), None, "nobody asked");
        let mut few = Histogram::new();
        few.record(9_000_000_000);
        assert_eq!(waited(&few, 10.0).map(f64::round), Some(1.0), "one request of a user who waits for it");
    }

    #[test]
    fn a_stall_that_p99_shows_is_not_hidden() {
        assert_eq!(carried(2_000.0, |n| if n % 50 == 0 { 500.0 } else { 2.0 }), None);
    }

    #[test]
    fn few_requests_or_none_say_nothing() {
        assert_eq!(carried(1.0, |n| if n == 9 { 500.0 } else { 2.0 }), None);
        assert_eq!(hidden(&Histogram::new(), 10.0), None);
    }

    #[test]
    fn users_who_think_long_lose_little_to_a_stall() {
        let mut service = Histogram::new();
        (0..10_000).for_each(|_| service.record(2_000_000));
        (0..10).for_each(|_| service.record(500_000_000));
        assert!(hidden(&service, 40.0).is_some(), "5 s of 40 s");
        assert_eq!(hidden(&service, 10_000.0), None, "5 s of 10,000 s");
    }
}
