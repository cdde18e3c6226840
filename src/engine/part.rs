//! One load part as a shard runs it: its curve, which a search may extend while it runs, and when it has to stop.

use super::session::Number;
use super::step::nanos;
use crate::clock::Nanos;
use crate::load::arrivals::Schedule;
use crate::load::curve::Curve;
use crate::load::share::Share;
use crate::scenario::plan::{Executor, Journey, JourneyId, Lifetime, LoadPart, LoadUnit, OpenRules};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Model {
    /// The curve is in users.
    Closed,
    /// The curve is in iterations per second.
    Open(OpenRules),
}

pub(super) struct Part {
    pub(super) index: usize,
    pub(super) model: Model,
    pub(super) mix: Vec<(JourneyId, u32)>,
    /// Weights of the mix in its order.
    pub(super) weights: Vec<u32>,
    /// Zero of the curve on the run's clock.
    pub(super) start_ns: Nanos,
    pub(super) graceful_stop: Duration,
    pub(super) curve: RefCell<Curve>,
    /// The coordinator steers this part: its curve may grow, and only a drain ends it.
    pub(super) steered: bool,
    pub(super) draining: Cell<bool>,
    /// The curve was steered or a drain has begun.
    pub(super) changed: Notify,
    /// A user or an iteration has ended.
    pub(super) freed: Notify,
    /// How many users the curve brings in all, where it is known beforehand.
    newcomers: Option<u64>,
    /// Some live for one iteration only. Nobody can say beforehand how many there will be, so they take unique rows as they come.
    passing: bool,
    /// How many users this shard has made, where that is what counts.
    made: Cell<u64>,
    /// Users or iterations alive on this shard.
    pub(super) live: Cell<u64>,
    /// The schedule of an open part, read a second time for no other purpose than to count what was planned: the count does not
    /// depend on what became of the arrivals.
    pub(super) census: RefCell<Option<Schedule>>,
    pub(super) planned: Cell<u64>,
    /// Up to where on the curve arrivals have been released or counted: it is bent after that only.
    pub(super) settled_ns: Cell<u64>,
    /// Arrivals released or dropped.
    pub(super) handled: Cell<u64>,
}

impl Part {
    pub(super) fn new(index: usize, part: &LoadPart, journeys: &[Journey]) -> Self {
        let (model, curve, steered) = match &part.executor {
            Executor::Closed { curve, .. } => (Model::Closed, curve.clone(), false),
            Executor::Open { curve, open, .. } => (Model::Open(*open), curve.clone(), false),
            Executor::Step { of, open, .. } | Executor::Breakpoint { of, open, .. } => {
                let model = match of {
                    LoadUnit::Users => Model::Closed,
                    LoadUnit::RatePerS => Model::Open(*open),
                };
                (model, Curve::new(0.0), true)
            }
        };
        Self {
            index,
            model,
            newcomers: (!steered).then(|| curve.newcomers()),
            passing: part.mix.iter().any(|(id, _)| {
                journeys.get(usize::from(*id)).is_some_and(|journey| journey.lifetime == Lifetime::Once)
            }),
            made: Cell::new(0),
            weights: part.mix.iter().map(|(_, weight)| *weight).collect(),
            mix: part.mix.clone(),
            start_ns: nanos(part.start),
            graceful_stop: part.graceful_stop,
            curve: RefCell::new(curve),
            steered,
            draining: Cell::new(false),
            changed: Notify::new(),
            freed: Notify::new(),
            live: Cell::new(0),
            census: RefCell::new(None),
            planned: Cell::new(0),
            settled_ns: Cell::new(0),
            handled: Cell::new(0),
        }
    }

    /// Nanoseconds since the part's own zero; 0 before it.
    pub(super) fn elapsed_ns(&self, now: Nanos) -> u64 {
        now.saturating_sub(self.start_ns)
    }

    pub(super) fn settle(&self, at_ns: u64) {
        self.settled_ns.set(self.settled_ns.get().max(at_ns));
    }

    /// Until nobody of the part is left: cut off means dropped at the task's next turn, and only then counted.
    pub(super) async fn emptied(&self) {
        while self.live.get() > 0 {
            self.freed.notified().await;
        }
    }

    /// Whoever takes the `k`-th place of a shard at `at_ns` of the curve. Nothing of it depends on who carries what, unless the curve is steered:
    /// then a shard's `k`-th user has the `k`-th number of its share.
    pub(super) fn newcomer(&self, share: Share, k: u64, at_ns: u64) -> Number {
        if self.newcomers.is_none() {
            return Number::plain(self.make(share));
        }
        let number = Number::plain(self.curve.borrow().newcomer_at(share.id_of(k), at_ns));
        if self.passing { Number { row: self.make(share), ..number } } else { number }
    }

    /// Whoever follows, at its place, one whose lifetime was a single iteration.
    pub(super) fn successor(&self, share: Share, before: Number) -> Number {
        let made = self.make(share);
        let Some(newcomers) = self.newcomers else { return Number::plain(made) };
        Number { id: before.id + newcomers, row: made, turn: before.turn + 1 }
    }

    fn make(&self, share: Share) -> u64 {
        share.id_of(self.made.replace(self.made.get() + 1))
    }

    /// Whether no more load will be asked for.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        self.draining.get() || (!self.steered && self.elapsed_ns(now) >= self.curve.borrow().end_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, Overrides};

    fn part(lifetime: &str, load: &str) -> Part {
        let text = format!(
            "plimsoll: 1\nname: numbers\ntarget: {{http: \"http://127.0.0.1:1\"}}\nscenarios: {{a: {{lifetime: {lifetime}, steps: [{{get: /}}]}}}}\nload:\n  - {{run: a, {load}}}\n"
        );
        let env = |_: &str| None;
        let plan = scenario::load("numbers.yaml", &text, &Overrides::none(&env));
        let plan = plan.unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
        Part::new(0, &plan.load[0], &plan.journeys)
    }

    const CLOSED: &str = "executor: closed, stages: [{to: 4, over: 0s}, {hold: 1s}, {to: 2, over: 0s}, {hold: 1s}, {to: 3, over: 0s}, {hold: 1s}]";

    #[test]
    fn a_place_goes_on_in_its_tables_whoever_takes_it() {
        let second = Share::new(1, 2).expect("a share");
        let passing = part("once", CLOSED);
        let first = passing.newcomer(second, 1, 0);
        assert_eq!(first, Number { id: 3, row: 1, turn: 3 });
        let next = passing.successor(second, first);
        assert_eq!(
            next,
            Number { id: 3 + 5, row: 3, turn: 4 },
            "five come in all, and rows are taken as they come"
        );
        assert_eq!(passing.successor(second, next), Number { id: 3 + 2 * 5, row: 5, turn: 5 });

        let staying = part("loop", CLOSED);
        assert_eq!(staying.newcomer(second, 1, 0), Number::plain(3));
        assert_eq!(staying.newcomer(Share::WHOLE, 2, 2_500_000_000), Number::plain(4), "after two have left");
    }

    #[test]
    fn a_steered_part_counts_its_users() {
        let search = "executor: breakpoint, of: users, from: 1, to: 9, precision: 5%, window: 4s, fail_when: [p99(http) > 1s]";
        let (part, second) = (part("once", search), Share::new(1, 2).expect("a share"));
        let first = part.newcomer(second, 0, 0);
        assert_eq!((first, part.newcomer(second, 1, 0)), (Number::plain(1), Number::plain(3)));
        assert_eq!(part.successor(second, first), Number::plain(5));
    }
}
