//! Where requests wait and are served: slots that are held (a pool, a lock, a thread, cores that are not shared) and cores that are
//! shared among all who compute. Both keep the sums from which a probe takes its readings.

use super::calendar::Calendar;
use std::collections::VecDeque;

/// What a probe may look at: the state now, and integrals over time since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub busy: f64,
    pub waiting: f64,
    pub busy_s: f64,
    pub waiting_s: f64,
    /// Visits that ended, and the sums of their waits and holds, s.
    pub visits: f64,
    pub wait_s: f64,
    pub hold_s: f64,
    /// Waits that were given up.
    pub errors: f64,
}

/// A number of slots, first come, first served.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: u32,
    busy: u32,
    /// Requests in line, and which of their waits it is; those that have given up are passed over.
    line: VecDeque<(u32, u32)>,
    given_up: u32,
    since_s: f64,
    pub seen: Seen,
}

impl Slots {
    pub(crate) fn new(slots: u32) -> Self {
        Self { slots, busy: 0, line: VecDeque::new(), given_up: 0, since_s: 0.0, seen: Seen::default() }
    }

    fn advance(&mut self, now_s: f64) {
        let span_s = now_s - self.since_s;
        self.since_s = now_s;
        self.seen.busy_s += f64::from(self.busy) * span_s;
        self.seen.waiting_s += self.waiting() * span_s;
    }

    fn waiting(&self) -> f64 {
        (self.line.len() - self.given_up as usize) as f64
    }

    /// True if there was a slot.
    pub(crate) fn take(&mut self, now_s: f64, job: u32, wait: u32) -> bool {
        self.advance(now_s);
        if self.busy < self.slots {
            self.busy += 1;
            return true;
        }
        self.line.push_back((job, wait));
        false
    }

    /// The first in line, to which the slot goes.
    pub(crate) fn give(&mut self, now_s: f64, still_waits: impl Fn(u32, u32) -> bool) -> Option<u32> {
        self.advance(now_s);
        self.seen.visits += 1.0;
        while let Some((job, wait)) = self.line.pop_front() {
            if still_waits(job, wait) {
                return Some(job);
            }
            self.given_up -= 1;
        }
        self.busy -= 1;
        None
    }

    pub(crate) fn give_up(&mut self, now_s: f64) {
        self.advance(now_s);
        self.given_up += 1;
        self.seen.errors += 1.0;
    }

    pub(crate) fn look(&mut self, now_s: f64) -> Seen {
        self.advance(now_s);
        Seen { busy: f64::from(self.busy), waiting: self.waiting(), ..self.seen }
    }
}

/// Cores shared by all who compute, each on one core at most (processor sharing, which is what a scheduler with short slices comes
/// to). Progress counts the core-seconds that each of them has had.
#[derive(Debug)]
pub(crate) struct Cores {
    /// Without what others use.
    cores: f64,
    progress_s: f64,
    since_s: f64,
    /// By the progress at which they are done.
    jobs: Calendar<u32>,
    count: f64,
    /// A departure that was announced before the last change holds no more.
    pub epoch: u32,
    pub seen: Seen,
}

impl Cores {
    pub(crate) fn new(cores: f64) -> Self {
        Self {
            cores,
            progress_s: 0.0,
            since_s: 0.0,
            jobs: Calendar::new(),
            count: 0.0,
            epoch: 0,
            seen: Seen::default(),
        }
    }

    fn speed(&self) -> f64 {
        if self.count <= self.cores.max(1.0) { self.cores.min(1.0) } else { self.cores / self.count }
    }

    fn advance(&mut self, now_s: f64) {
        let span_s = now_s - self.since_s;
        self.since_s = now_s;
        let busy = self.count * self.speed();
        self.progress_s += span_s * self.speed();
        self.seen.busy_s += busy * span_s;
        self.seen.waiting_s += (self.count - busy).max(0.0) * span_s;
    }

    pub(crate) fn begin(&mut self, now_s: f64, job: u32, work_s: f64) {
        self.advance(now_s);
        self.count += 1.0;
        self.jobs.push(self.progress_s + work_s, job);
    }

    /// Who is done now, and has left.
    pub(crate) fn end(&mut self, now_s: f64) -> Option<u32> {
        self.advance(now_s);
        let done = self.jobs.pop()?;
        self.count -= 1.0;
        self.seen.visits += 1.0;
        Some(done.what)
    }

    /// When the next one is done if nothing changes.
    pub(crate) fn next_s(&mut self) -> Option<f64> {
        self.epoch += 1;
        let left_s = (self.jobs.first_at()? - self.progress_s).max(0.0);
        Some(self.since_s + left_s / self.speed())
    }

    pub(crate) fn look(&mut self, now_s: f64) -> Seen {
        self.advance(now_s);
        let busy = self.count * self.speed();
        Seen { busy, waiting: (self.count - busy).max(0.0), ..self.seen }
    }
}
