//! How many arrivals an open part has planned: its schedule is read a second time for no other purpose, so that the count does not depend on
//! what became of the arrivals.

use super::part::Part;
use super::shard::Shard;
use crate::clock::Nanos;
use crate::load::arrivals::Schedule;
use crate::scenario::plan::OpenRules;

impl Shard {
    /// Arrivals are divided among those who have slots for them.
    pub(super) fn schedule_of(&self, part: &Part, rules: OpenRules) -> Option<Schedule> {
        let share = self.share.among(rules.max_in_flight)?;
        Some(Schedule::new(rules.arrivals, self.plan.seed, part.index as u64, share))
    }

    /// Counts the arrivals that the schedule has placed up to `now`.
    pub(super) fn count_planned(&self, part: &Part, now: Nanos) {
        if now >= part.start_ns {
            self.count_until(part, part.elapsed_ns(now));
        }
    }

    /// From when on the curve may be another, by its own time, where that is asked for at `at_ns`: what has been released or counted, which
    /// may be more if the word came late, stays as it was.
    pub(super) fn settled(&self, part: &Part, at_ns: u64) -> u64 {
        let settled_ns = part.settled_ns.get();
        if settled_ns > at_ns {
            self.count_until(part, settled_ns);
        }
        settled_ns.max(at_ns)
    }

    fn count_until(&self, part: &Part, until_ns: u64) {
        let mut census = part.census.borrow_mut();
        let Some(schedule) = census.as_mut() else { return };
        part.settle(until_ns);
        let curve = part.curve.borrow();
        let mut due = 0;
        while schedule.peek(&curve).is_some_and(|arrival| arrival.at_ns <= until_ns) {
            schedule.next(&curve);
            due += 1;
        }
        part.planned.set(part.planned.get() + due);
        self.recorder.borrow_mut().counts.planned += due;
    }

    /// Arrivals that were due and never found a slot are planned, and dropped. From here on nothing more is planned.
    pub(super) fn drop_what_is_due(&self, part: &Part) {
        if part.census.borrow().is_none() {
            return;
        }
        self.count_planned(part, self.clock.now());
        *part.census.borrow_mut() = None;
        let unhandled = part.planned.get().saturating_sub(part.handled.get());
        self.recorder.borrow_mut().counts.dropped += unhandled;
    }
}
