//! One load part as a shard runs it: its curve, which a search may extend while it runs, and when it has to stop.

use super::step::nanos;
use crate::clock::Nanos;
use crate::load::arrivals::Schedule;
use crate::load::curve::Curve;
use crate::load::share::Share;
use crate::scenario::plan::{Executor, JourneyId, LoadPart, LoadUnit, OpenRules};
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
    /// How many users this shard has made of a part of which that is not known.
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
    pub(super) fn new(index: usize, part: &LoadPart) -> Self {
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

    /// The number of the user who takes the `k`-th place of a shard at `at_ns` of the curve. Nothing of it depends on who carries what, unless
    /// the curve is steered: then a shard's `k`-th user has the `k`-th number of its share.
    pub(super) fn newcomer(&self, share: Share, k: u64, at_ns: u64) -> u64 {
        match self.newcomers {
            Some(_) => self.curve.borrow().newcomer_at(share.id_of(k), at_ns),
            None => self.make(share),
        }
    }

    /// The number of the user who follows `id`, whose lifetime was a single iteration, at its place.
    pub(super) fn successor(&self, share: Share, id: u64) -> u64 {
        self.newcomers.map_or_else(|| self.make(share), |newcomers| id + newcomers)
    }

    fn make(&self, share: Share) -> u64 {
        share.id_of(self.made.replace(self.made.get() + 1))
    }

    /// Whether no more load will be asked for.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        self.draining.get() || (!self.steered && self.elapsed_ns(now) >= self.curve.borrow().end_ns())
    }
}
