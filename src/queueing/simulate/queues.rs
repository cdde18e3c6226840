//! What requests queue at, and the order of events.

use std::cmp::Ordering;
use std::collections::VecDeque;

/// Something that happens to a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) at_s: f64,
    /// Of two at the same time the one that was planned first.
    pub(super) sequence: u64,
    pub(super) job: usize,
    /// The wait that ends by giving up.
    pub(super) timeout_of: Option<u32>,
    /// Begins a request; otherwise a visit ends.
    pub(super) arrival: bool,
}

impl Ord for Event {
    /// The earliest is the greatest, as the heap has the greatest on top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_s.total_cmp(&self.at_s).then(other.sequence.cmp(&self.sequence))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

/// Servers, or slots, with one line before them.
#[derive(Debug)]
pub(super) struct Queue {
    room: usize,
    /// How many may wait.
    line_max: usize,
    busy: usize,
    line: VecDeque<usize>,
    since_s: f64,
    seen: Seen,
}

/// Sums over the time that was observed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) busy_s: f64,
    pub(super) waiting_s: f64,
    pub(super) full_s: f64,
    pub(super) asked: u64,
    pub(super) given_up: u64,
    pub(super) turned_away: u64,
}

/// What becomes of a job that comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entered {
    Served,
    Waits,
    TurnedAway,
}

impl Queue {
    pub(super) fn new(room: usize, line_max: Option<usize>) -> Self {
        let line_max = line_max.unwrap_or(usize::MAX);
        Self { room, line_max, busy: 0, line: VecDeque::new(), since_s: 0.0, seen: Seen::default() }
    }

    fn advance(&mut self, now_s: f64) {
        let span_s = now_s - self.since_s;
        self.seen.busy_s += self.busy as f64 * span_s;
        self.seen.waiting_s += self.line.len() as f64 * span_s;
        if self.busy == self.room {
            self.seen.full_s += span_s;
        }
        self.since_s = now_s;
    }

    pub(super) fn enter(&mut self, now_s: f64, job: usize) -> Entered {
        self.advance(now_s);
        self.seen.asked += 1;
        if self.busy < self.room {
            self.busy += 1;
            return Entered::Served;
        }
        if self.line.len() >= self.line_max {
            self.seen.turned_away += 1;
            return Entered::TurnedAway;
        }
        self.line.push_back(job);
        Entered::Waits
    }

    /// One leaves; the first in line takes its place.
    pub(super) fn leave(&mut self, now_s: f64) -> Option<usize> {
        self.advance(now_s);
        let next = self.line.pop_front();
        if next.is_none() {
            self.busy -= 1;
        }
        next
    }

    /// Timeouts are the same for all, so who gives up is the first in line.
    pub(super) fn give_up(&mut self, now_s: f64, job: usize) {
        self.advance(now_s);
        self.seen.given_up += 1;
        if let Some(position) = self.line.iter().position(|other| *other == job) {
            self.line.remove(position);
        }
    }

    pub(super) fn forget(&mut self, now_s: f64) {
        self.advance(now_s);
        self.seen = Seen::default();
    }

    pub(super) fn seen(&mut self, now_s: f64) -> Seen {
        self.advance(now_s);
        self.seen
    }
}
