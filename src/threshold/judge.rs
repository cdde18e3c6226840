//! The judgment of a threshold. Three answers, never two: a percentile over too few samples is not evaluated, and what is not
//! evaluated does not pass.

use super::{Coverage, Figure, Lasting, Op, Selector, Stat, Stats, Threshold};
use std::time::Duration;

/// Samples below which a percentile says nothing: ten must lie beyond it. p99 needs 1,000, p99.9 needs 10,000.
const SAMPLES_BEYOND_MIN: f64 = 10.0;

/// Share of a span that readings must tell of: those of the beginning say nothing of what came after the source fell silent.
const COVERED_MIN: f64 = 0.8;

/// Below this quantile no minimum is asked: a median of few samples is imprecise but not empty.
const QUANTILE_WITH_MINIMUM: f64 = 0.99;

#[derive(Clone, Debug, PartialEq)]
pub struct Judgment {
    /// In the base unit of the stat; the value over the whole span, also where windows decided. `None` when there was nothing.
    pub value: Option<f64>,
    pub samples: u64,
    pub result: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail,
    NotEvaluated { why: String },
}

/// A condition such as `error_rate > 50% for 15s`, followed second by second while a run goes on.
#[derive(Clone, Debug)]
pub struct Watch {
    threshold: Threshold,
    needed_s: u64,
    held_s: u64,
    /// For how long there has been no reading of what it asks for.
    blind_s: u64,
    told_blind: bool,
}

/// Value in the base unit and number of samples behind it; `None` when the span holds nothing to measure.
pub fn measure(threshold: &Threshold, stats: &dyn Stats) -> Option<(f64, u64)> {
    let (all, failed) = match &threshold.selector {
        Selector::All => stats.requests(None, None),
        Selector::Requests { protocol, name, .. } => stats.requests(Some(*protocol), name.as_deref()),
        Selector::Resource(_) => (0, 0),
    };
    let latency = |figure: Figure| match &threshold.selector {
        Selector::Requests { clock, protocol, name } => {
            stats.latency_ns(figure, *clock, *protocol, name.as_deref())
        }
        Selector::All | Selector::Resource(_) => None,
    };
    let resource = || {
        let Selector::Resource(name) = &threshold.selector else { return None };
        let told = stats.resource(name)?;
        Some((told, stats.coverage(name).map_or(1, |coverage| coverage.readings)))
    };
    // Infinite in both directions on the mean is nothing.
    let number = |value: f64, samples: u64| (!value.is_nan()).then_some((value, samples));
    let (planned, dropped) = stats.iterations();
    match threshold.stat {
        Stat::Percentile(q) => latency(Figure::Quantile(q)),
        Stat::Max => latency(Figure::Max).map(|(value, _)| (value, all)),
        Stat::Mean => latency(Figure::Mean).map(|(value, _)| (value, all)),
        Stat::ErrorRate => (all > 0).then(|| (failed as f64 / all as f64, all)),
        Stat::Rate => (stats.seconds() > 0.0).then(|| (all as f64 / stats.seconds(), all)),
        Stat::Count => Some((all as f64, all)),
        Stat::Dropped { ratio: false } => Some((dropped as f64, planned)),
        Stat::Dropped { ratio: true } => (planned > 0).then(|| (dropped as f64 / planned as f64, planned)),
        Stat::Used { ratio: false } | Stat::Value { .. } => {
            resource().and_then(|((used, _, _), samples)| number(used, samples))
        }
        Stat::Used { ratio: true } => resource().and_then(|((used, limit, _), samples)| {
            limit.filter(|limit| *limit > 0.0).map(|limit| (used / limit, samples))
        }),
        Stat::Waiting => {
            resource().and_then(|((_, _, waiting), samples)| waiting.map(|waiting| (waiting, samples)))
        }
    }
}

/// Judges a threshold over a span of the run: `whole` is the span of its phase, or of the run (`None`: it was never reached), and
/// `windows` are the consecutive windows of [`Threshold::window`] inside it, empty where that is `None`.
pub fn judge(threshold: &Threshold, whole: Option<&dyn Stats>, windows: &[&dyn Stats]) -> Judgment {
    let not = |why: String| Judgment { value: None, samples: 0, result: Verdict::NotEvaluated { why } };
    let Some(whole) = whole else {
        let phase = threshold.phase.as_deref().unwrap_or("run");
        return not(format!("the phase `{phase}` was never reached"));
    };
    let Some((value, samples)) = measure(threshold, whole) else {
        return not(nothing(threshold));
    };
    let result = match threshold.lasting {
        None => one(threshold, whole),
        Some(Lasting::For(span)) => in_a_row(threshold, windows, span),
        Some(Lasting::ShareOfWindows { share, .. }) => share_of(threshold, windows, share),
    };
    Judgment { value: Some(value), samples, result }
}

impl Watch {
    pub fn new(threshold: Threshold) -> Self {
        let needed_s = match threshold.lasting {
            Some(Lasting::For(span)) => span.as_secs().max(1),
            _ => 1,
        };
        Self { threshold, needed_s, held_s: 0, blind_s: 0, told_blind: false }
    }

    /// Takes in the second that has just ended, or the `span_s` seconds that came as one; true once the condition has held for as long
    /// as it asks. Requests under way that are older than its limit count as much as if they had ended so. A second in which nothing could be measured breaks
    /// the row, unless requests are under way: then it is as the one before. No minimum of samples: this guards a live system.
    pub fn second(&mut self, stats: &dyn Stats, span_s: u64) -> bool {
        let measured = measure(&self.threshold, stats).map(|(value, _)| self.threshold.holds(value));
        if measured.is_some() || !matches!(self.threshold.selector, Selector::Resource(_)) {
            (self.blind_s, self.told_blind) = (0, false);
        } else {
            self.blind_s += span_s;
        }
        let held = match measured {
            Some(true) => true,
            _ if hangs(&self.threshold, stats) => true,
            Some(false) => false,
            None => self.held_s > 0 && !wants_fast(&self.threshold) && under_way(&self.threshold, stats) > 0,
        };
        self.held_s = if held { self.held_s + span_s } else { 0 };
        self.held_s >= self.needed_s
    }

    /// True once when a resource or signal has had no value for longer than the condition asks: a rule that cannot be met guards nothing.
    pub fn turned_blind(&mut self) -> bool {
        let turned = self.blind_s > self.needed_s && !self.told_blind;
        self.told_blind |= turned;
        turned
    }

    pub fn threshold(&self) -> &Threshold {
        &self.threshold
    }
}

/// Whether a latency is above the limit for what is under way and older alone, whatever it will take in the end.
fn hangs(threshold: &Threshold, stats: &dyn Stats) -> bool {
    let Selector::Requests { protocol, name, .. } = &threshold.selector else { return false };
    if !matches!(threshold.op, Op::Greater | Op::GreaterOrEqual) {
        return false;
    }
    let overdue = stats.overdue(*protocol, name.as_deref(), threshold.value);
    let (ended, _) = stats.requests(Some(*protocol), name.as_deref());
    match threshold.stat {
        Stat::Percentile(q) => overdue as f64 > (1.0 - q) * (ended + overdue) as f64,
        Stat::Max => overdue > 0,
        Stat::Mean => overdue > 0 && ended == 0,
        _ => false,
    }
}

/// A latency below a limit, which what is still under way does not show.
fn wants_fast(threshold: &Threshold) -> bool {
    matches!(threshold.stat, Stat::Percentile(_) | Stat::Max | Stat::Mean)
        && matches!(threshold.op, Op::Less | Op::LessOrEqual)
}

fn under_way(threshold: &Threshold, stats: &dyn Stats) -> u64 {
    match &threshold.selector {
        Selector::All => stats.under_way(None, None),
        Selector::Requests { protocol, name, .. } => stats.under_way(Some(*protocol), name.as_deref()),
        Selector::Resource(_) => 0,
    }
}

fn one(threshold: &Threshold, stats: &dyn Stats) -> Verdict {
    let Some((value, samples)) = measure(threshold, stats) else {
        return Verdict::NotEvaluated { why: nothing(threshold) };
    };
    if let Stat::Percentile(q) = threshold.stat {
        let needed = samples_needed(q);
        if samples < needed {
            let why = format!("{samples} samples; {} needs {needed}", threshold.stat);
            return Verdict::NotEvaluated { why };
        }
    }
    if let Selector::Resource(name) = &threshold.selector
        && let Some(Coverage { covered_s, span_s, .. }) = stats.coverage(name)
        && covered_s < COVERED_MIN * span_s
    {
        let why = format!("readings cover {covered_s:.0} of {span_s:.0} s of `{name}`");
        return Verdict::NotEvaluated { why };
    }
    if threshold.holds(value) { Verdict::Pass } else { Verdict::Fail }
}

/// Samples a quantile needs: 1,000 for p99, 10,000 for p99.9, 1 below p99.
pub fn samples_needed(q: f64) -> u64 {
    if q < QUANTILE_WITH_MINIMUM {
        return 1;
    }
    // (1 − 0.999) is 0.0010000000000000009: round to whole samples before anyone is asked for 9,999 or 10,001.
    (SAMPLES_BEYOND_MIN / (1.0 - q)).round() as u64
}

/// Some row of windows of at least `span` in which it always holds.
fn in_a_row(threshold: &Threshold, windows: &[&dyn Stats], span: Duration) -> Verdict {
    let needed = usize::try_from(span.as_secs()).unwrap_or(usize::MAX).max(1);
    let verdicts: Vec<Verdict> = windows.iter().map(|window| one(threshold, *window)).collect();
    let longest = |counts: &dyn Fn(&Verdict) -> bool| {
        verdicts
            .iter()
            .fold((0usize, 0usize), |(best, now), verdict| {
                let now = if counts(verdict) { now + 1 } else { 0 };
                (best.max(now), now)
            })
            .0
    };
    if longest(&|verdict| *verdict == Verdict::Pass) >= needed {
        Verdict::Pass
    } else if longest(&|verdict| *verdict != Verdict::Fail) < needed {
        Verdict::Fail
    } else {
        Verdict::NotEvaluated {
            why: format!("too few samples or readings in the seconds that would decide: {}", threshold.stat),
        }
    }
}

/// A share of all windows; those with too few samples can decide neither way.
fn share_of(threshold: &Threshold, windows: &[&dyn Stats], share: f64) -> Verdict {
    if windows.is_empty() {
        return Verdict::NotEvaluated { why: "the span is shorter than one window".into() };
    }
    let verdicts: Vec<Verdict> = windows.iter().map(|window| one(threshold, *window)).collect();
    let count = |wanted: &Verdict| verdicts.iter().filter(|verdict| *verdict == wanted).count();
    let (all, passed, failed) = (windows.len(), count(&Verdict::Pass), count(&Verdict::Fail));
    if passed as f64 >= share * all as f64 {
        Verdict::Pass
    } else if ((all - failed) as f64) < share * all as f64 {
        Verdict::Fail
    } else {
        let open = all - passed - failed;
        Verdict::NotEvaluated {
            why: format!("{open} of {all} windows hold too few samples or readings for {}", threshold.stat),
        }
    }
}

fn nothing(threshold: &Threshold) -> String {
    match &threshold.selector {
        Selector::Resource(name) => format!("no reading of `{name}` that has this figure"),
        Selector::Requests { name: Some(name), .. } => format!("no request named `{name}` was completed"),
        Selector::Requests { .. } => "no such request was completed".into(),
        Selector::All => "nothing was planned or sent".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Which, parse};
    use super::*;
    use crate::endpoint::Protocol;

    #[derive(Clone, Copy)]
    struct Second {
        p99_ns: f64,
        requests: u64,
        failed: u64,
    }

    impl Stats for Second {
        fn latency_ns(&self, _: Figure, _: Which, _: Protocol, _: Option<&str>) -> Option<(f64, u64)> {
            (self.requests > 0).then_some((self.p99_ns, self.requests))
        }
        fn requests(&self, _: Option<Protocol>, _: Option<&str>) -> (u64, u64) {
            (self.requests, self.failed)
        }
        fn iterations(&self) -> (u64, u64) {
            (self.requests, self.failed)
        }
        fn seconds(&self) -> f64 {
            1.0
        }
        fn resource(&self, name: &str) -> Option<(f64, Option<f64>, Option<f64>)> {
            (name == "pool").then_some((9.0, Some(10.0), None))
        }
    }

    fn second(p99_ms: f64, requests: u64, failed: u64) -> Second {
        Second { p99_ns: p99_ms * 1e6, requests, failed }
    }

    fn verdict(text: &str, whole: Second, windows: &[Second]) -> Verdict {
        let windows: Vec<&dyn Stats> = windows.iter().map(|w| w as &dyn Stats).collect();
        judge(&parse(text).expect(text), Some(&whole), &windows).result
    }

    #[test]
    fn percentiles_over_too_few_samples_are_not_evaluated() {
        assert_eq!(samples_needed(0.99), 1_000);
        assert_eq!(samples_needed(0.999), 10_000);
        assert_eq!(verdict("p99(http) < 100ms", second(50.0, 1_000, 0), &[]), Verdict::Pass);
        assert_eq!(verdict("p99(http) < 100ms", second(150.0, 1_000, 0), &[]), Verdict::Fail);
        let why = "999 samples; p99 needs 1000".to_owned();
        assert_eq!(verdict("p99(http) < 100ms", second(50.0, 999, 0), &[]), Verdict::NotEvaluated { why });
        assert!(matches!(
            verdict("p99.9(http) < 1s", second(50.0, 9_999, 0), &[]),
            Verdict::NotEvaluated { .. }
        ));
        assert_eq!(verdict("p95(http) < 100ms", second(50.0, 20, 0), &[]), Verdict::Pass);
    }

    #[test]
    fn nothing_measured_never_passes() {
        for text in
            ["error_rate < 1%", "p50(http) < 1s", "dropped < 1%", "used(heap) < 9%", "waiting(pool) == 0"]
        {
            assert!(matches!(verdict(text, second(1.0, 0, 0), &[]), Verdict::NotEvaluated { .. }), "{text}");
        }
        let threshold = parse("count == 0 in peak").expect("valid");
        assert!(
            matches!(judge(&threshold, None, &[]).result, Verdict::NotEvaluated { why } if why.contains("peak"))
        );
        assert_eq!(verdict("used(pool) < 95%", second(1.0, 0, 0), &[]), Verdict::Pass);
        assert_eq!(verdict("used(pool) < 9", second(1.0, 0, 0), &[]), Verdict::Fail);
    }

    #[test]
    fn a_row_of_seconds_must_be_unbroken() {
        let (bad, good) = (second(1.0, 10, 9), second(1.0, 10, 0));
        let text = "error_rate > 50% for 3s";
        assert_eq!(verdict(text, bad, &[bad, bad, good, bad, bad]), Verdict::Fail);
        assert_eq!(verdict(text, bad, &[good, bad, bad, bad]), Verdict::Pass);
        let mut watch = Watch::new(parse(text).expect("valid"));
        let fired: Vec<bool> =
            [bad, bad, good, bad, bad, bad, bad].iter().map(|s| watch.second(s, 1)).collect();
        assert_eq!(fired, [false, false, false, false, false, true, true]);
        let mut behind = Watch::new(parse(text).expect("valid"));
        assert!(!behind.second(&bad, 2) && behind.second(&bad, 2), "seconds that came as one count as many");
    }

    #[test]
    fn windows_with_too_few_samples_decide_neither_way() {
        let (fast, slow, thin) = (second(1.0, 1_000, 0), second(900.0, 1_000, 0), second(1.0, 3, 0));
        let text = "p99(http) < 400ms for 75% of 1s windows";
        assert_eq!(verdict(text, fast, &[fast, fast, fast, slow]), Verdict::Pass);
        assert_eq!(verdict(text, fast, &[fast, fast, slow, slow]), Verdict::Fail);
        assert!(matches!(verdict(text, fast, &[fast, fast, thin, slow]), Verdict::NotEvaluated { .. }));
        assert!(matches!(verdict(text, fast, &[]), Verdict::NotEvaluated { .. }));
    }
}
