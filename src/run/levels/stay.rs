//! One stay at a level: its seconds and windows as they end, and from when on it had settled.

use crate::endpoint::Endpoint;
use crate::measure::snapshot::Snapshot;
use crate::measure::span::Span;
use crate::search::level::Window;
use crate::search::steady::{Truncation, truncate};
use crate::threshold::Which;

/// What was measured since the load came to a level; a look that is continued is the same stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Stay {
    from_s: u64,
    /// Mean response time of each second, nanoseconds; one without an answer has none.
    means: Vec<Option<f64>>,
    windows: Vec<Ended>,
    truncation: Option<Truncation>,
}

/// A window that began before the level had settled counts all the same where that was no more than this share of it.
const SETTLING_RATIO_MAX: f64 = 0.1;

#[derive(Clone, Debug)]
struct Ended {
    from_s: u64,
    to_s: u64,
    /// It holds seconds that were told late, and so shows a load that never was.
    late: bool,
    seen: Window,
}

impl Stay {
    pub(super) fn since(from_s: u64) -> Self {
        Self { from_s, ..Self::default() }
    }

    /// Takes in a second, or several that came as one.
    pub(super) fn second(&mut self, second: &Snapshot, endpoints: &[Endpoint]) {
        let span = Span { snapshot: second, endpoints, seconds: 1.0, readings: &[] };
        let mean = span.merged(Which::Response, None, None).map(|merged| merged.mean_ns());
        let seconds = second.end_s.saturating_sub(self.from_s) as usize;
        self.means.resize(seconds.max(self.means.len()), mean);
    }

    pub(super) fn window(&mut self, (from_s, to_s): (u64, u64), late: bool, seen: Window) {
        self.windows.push(Ended { from_s, to_s, late, seen });
    }

    /// Looks again at how much of the beginning is better left out.
    pub(super) fn truncate(&mut self) {
        self.truncation = truncate(&self.means);
    }

    /// As it was when a window ended last; `None` where the stay is too short to tell, and of a soak.
    pub(super) fn truncation(&self) -> Option<Truncation> {
        self.truncation
    }

    /// Seconds at the beginning that are left out; `None` as of [`Stay::truncation`].
    pub(super) fn left_out_s(&self) -> Option<u32> {
        Some(self.truncation?.seconds)
    }

    /// From when on what was measured counts, seconds from the start of the run; `None` where that cannot be told.
    pub(super) fn counts_from_s(&self) -> Option<u64> {
        Some(self.from_s + u64::from(self.truncation?.seconds))
    }

    /// Windows that ended, whether they count or not.
    pub(super) fn ended(&self) -> u32 {
        self.windows.len() as u32
    }

    /// The windows that count: of one that began before the level had settled hardly anything was before, and none has seconds told late.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Window> {
        let from_s = self.counts_from_s().unwrap_or(self.from_s);
        let settled = move |window: &&Ended| {
            let settling_s = from_s.saturating_sub(window.from_s) as f64;
            settling_s <= SETTLING_RATIO_MAX * (window.to_s - window.from_s) as f64
        };
        self.windows.iter().filter(|window| !window.late).filter(settled).map(|window| &window.seen)
    }

    /// Those without seconds told late, settled or not.
    pub(super) fn told(&self) -> Vec<Window> {
        self.windows.iter().filter(|window| !window.late).map(|window| window.seen.clone()).collect()
    }

    /// All of them, for where none counts.
    pub(super) fn all(&self) -> Vec<Window> {
        self.windows.iter().map(|window| window.seen.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_that_was_hardly_settling() {
        let mut stay = Stay::since(10);
        stay.window((10, 70), false, Window::new());
        stay.window((70, 130), false, Window::new());
        let counted = |seconds| {
            let truncation = Some(Truncation { seconds, shift_ratio: 0.5, is_unsettled: false });
            Stay { truncation, ..stay.clone() }.counted().count()
        };
        assert_eq!([0, 5, 10, 60].map(counted), [2, 2, 1, 1]);
        assert_eq!(stay.counted().count(), 2, "too short to tell");
    }
}
