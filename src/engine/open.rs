//! The open model: arrivals come at the instants of the schedule, whatever became of those before. Nothing is queued: an arrival
//! that finds no free slot stays in the schedule, which is a function, until there is one (`late: queue`) or is counted (`late: drop`).

use super::closed::wait_for_start;
use super::control::Control;
use super::pacer::Pacer;
use super::part::Part;
use super::session::Number;
use super::shard::Shard;
use super::step::nanos;
use super::user::User;
use crate::clock::Nanos;
use crate::load::arrivals::Schedule;
use crate::scenario::plan::{Late, OpenRules};
use std::rc::Rc;
use tokio::task::AbortHandle;

/// Releases in a row after which the runtime gets its turn, when the schedule is behind.
const RELEASES_A_TURN: u32 = 32;

pub(super) async fn run(shard: Rc<Shard>, part: Rc<Part>, rules: OpenRules) -> std::io::Result<()> {
    // Who has no slot has no arrivals either.
    let Some(share) = shard.share.among(rules.max_in_flight) else { return Ok(()) };
    let mut release = Release {
        pacer: Pacer::new(shard.clock).inspect_err(|_| *part.census.borrow_mut() = None)?,
        slots: share.users_of(u64::from(rules.max_in_flight)),
        live: Vec::new(),
        blocked_until_ns: 0,
        shard,
        part,
    };
    wait_for_start(&release.shard, &release.part).await;
    let released = release.arrivals(rules).await;
    if released.is_err() {
        // What could be said of the target is over. The other parts are told once this one has ended.
        release.part.draining.set(true);
        release.shard.aborted.set(true);
    }
    release.shard.drop_what_is_due(&release.part);
    release.drain().await;
    released
}

/// An arrival whose time has come.
#[derive(Clone, Copy)]
struct Due {
    id: u64,
    due_ns: Nanos,
}

struct Release {
    shard: Rc<Shard>,
    part: Rc<Part>,
    pacer: Pacer,
    slots: u64,
    live: Vec<AbortHandle>,
    /// Until when arrivals could not be released because the target held every slot: that is not the generator's lag.
    blocked_until_ns: Nanos,
}

impl Release {
    async fn arrivals(&mut self, rules: OpenRules) -> std::io::Result<()> {
        let Some(mut schedule) = self.shard.schedule_of(&self.part, rules) else { return Ok(()) };
        let mut in_a_row = 0;
        while let Some(arrival) = self.next(&mut schedule).await? {
            let lag_ns = self.shard.clock.now().saturating_sub(arrival.due_ns.max(self.blocked_until_ns));
            let free = match rules.late {
                Late::Drop => self.slot_is_free(),
                Late::Queue if self.wait_for_slot().await => true,
                Late::Queue => break,
            };
            if self.part.steered && !self.is_due(&mut schedule) {
                // A word heard meanwhile has moved it.
                continue;
            }
            schedule.next(&self.part.curve.borrow());
            self.part.settle(self.part.elapsed_ns(arrival.due_ns));
            self.part.handled.set(self.part.handled.get() + 1);
            self.shard.recorder.borrow_mut().dispatch_lag(lag_ns);
            if free {
                self.start(arrival);
            } else {
                self.shard.recorder.borrow_mut().counts.dropped += 1;
            }
            in_a_row += 1;
            if in_a_row == RELEASES_A_TURN {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn is_due(&self, schedule: &mut Schedule) -> bool {
        let next = schedule.peek(&self.part.curve.borrow());
        next.is_some_and(|next| self.part.start_ns + next.at_ns <= self.shard.clock.now())
    }

    /// Waits until the next arrival is due and leaves it in the schedule; `None` when there will be no more. A curve that is steered
    /// meanwhile may move the arrival, so its instant is asked for again.
    async fn next(&self, schedule: &mut Schedule) -> std::io::Result<Option<Due>> {
        loop {
            if self.part.draining.get() {
                return Ok(None);
            }
            let peeked = schedule.peek(&self.part.curve.borrow());
            match peeked {
                Some(arrival) => {
                    let due_ns = self.part.start_ns + arrival.at_ns;
                    tokio::select! {
                        biased;
                        waited = self.pacer.until(due_ns) => {
                            return waited.map(|()| Some(Due { id: arrival.index, due_ns }));
                        }
                        () = self.part.changed.notified() => {}
                    }
                }
                None if self.part.steered => self.part.changed.notified().await,
                None if self.shard.clock.now() < self.end_ns() => {
                    // A last stage at rate zero is a span of the run like any other.
                    tokio::select! {
                        () = self.part.changed.notified() => {}
                        () = tokio::time::sleep_until(self.shard.clock.instant(self.end_ns())) => {}
                    }
                }
                None => return Ok(None),
            }
        }
    }

    fn end_ns(&self) -> Nanos {
        self.part.start_ns + self.part.curve.borrow().end_ns()
    }

    fn slot_is_free(&self) -> bool {
        self.part.live.get() < self.slots
    }

    /// False when the part came to its end first.
    async fn wait_for_slot(&mut self) -> bool {
        while !self.slot_is_free() {
            let give_up_ns = self.end_ns() + nanos(self.part.graceful_stop);
            if self.part.draining.get() || self.shard.clock.now() >= give_up_ns {
                return false;
            }
            tokio::select! {
                () = self.part.changed.notified() => {}
                () = self.part.freed.notified() => {}
                () = tokio::time::sleep_until(self.shard.clock.instant(give_up_ns)) => {}
            }
            self.blocked_until_ns = self.shard.clock.now();
        }
        true
    }

    fn start(&mut self, arrival: Due) {
        let control = Rc::new(Control::default());
        // The iteration begins with its arrival: one that is cut off before its task's first turn is interrupted all the same.
        control.iteration_since.set(Some(arrival.due_ns));
        let user = User::new(&self.shard, &self.part, Rc::clone(&control), Number::plain(arrival.id));
        let task = tokio::task::spawn_local(user.arrive(arrival.due_ns)).abort_handle();
        if self.live.len() >= 2 * (self.part.live.get() as usize + 8) {
            self.live.retain(|task| !task.is_finished());
        }
        self.live.push(task);
    }

    async fn drain(&mut self) {
        let now = self.shard.clock.now();
        // Arrivals that came late out of the queue have used some of the time already.
        let ended = if self.part.draining.get() { now } else { now.min(self.end_ns()) };
        let by = ended + nanos(self.part.graceful_stop);
        while self.part.live.get() > 0 && self.shard.clock.now() < by && !self.shard.aborted.get() {
            tokio::select! {
                () = self.part.changed.notified() => {}
                () = self.part.freed.notified() => {}
                () = tokio::time::sleep_until(self.shard.clock.instant(by)) => {}
            }
        }
        for task in self.live.drain(..) {
            task.abort();
        }
        self.part.emptied().await;
    }
}

impl Drop for Release {
    /// Nobody is left of a part that ended by panic.
    fn drop(&mut self) {
        self.live.iter().for_each(AbortHandle::abort);
    }
}
