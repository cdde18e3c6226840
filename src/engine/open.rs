//! The open model: arrivals come at the instants of the schedule, whatever became of those before. Nothing is queued: an arrival
//! that finds no free slot stays in the schedule, which is a function, until there is one (`late: queue`) or is counted (`late: drop`).

use super::control::Control;
use super::pacer::Pacer;
use super::part::Part;
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

struct Live {
    control: Rc<Control>,
    task: AbortHandle,
}

pub(super) async fn run(shard: Rc<Shard>, part: Rc<Part>, rules: OpenRules) -> std::io::Result<()> {
    let mut release = Release {
        pacer: Pacer::new(shard.clock)?,
        slots: shard.share.users_of(u64::from(rules.max_in_flight)).max(1),
        live: Vec::new(),
        shard,
        part,
    };
    let mut schedule = release.shard.schedule_of(&release.part, rules);
    let mut in_a_row = 0;
    while let Some(arrival) = release.next(&mut schedule).await? {
        let lag_ns = release.shard.clock.now().saturating_sub(arrival.due_ns);
        let free = match rules.late {
            Late::Drop => release.slot_is_free(),
            Late::Queue if release.wait_for_slot().await => true,
            Late::Queue => break,
        };
        schedule.next(&release.part.curve.borrow());
        release.part.handled.set(release.part.handled.get() + 1);
        release.shard.recorder.borrow_mut().dispatch_lag(lag_ns);
        if free {
            release.start(arrival);
        } else {
            release.shard.recorder.borrow_mut().counts.dropped += 1;
        }
        in_a_row += 1;
        if in_a_row == RELEASES_A_TURN {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
    release.drop_what_is_due();
    release.drain().await;
    Ok(())
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
    live: Vec<Live>,
}

impl Release {
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
                None => return Ok(None),
            }
        }
    }

    fn slot_is_free(&self) -> bool {
        self.part.live.get() < self.slots
    }

    async fn wait_for_slot(&self) -> bool {
        let end_ns = self.part.start_ns + self.part.curve.borrow().end_ns() + nanos(self.part.graceful_stop);
        while !self.slot_is_free() {
            let over = !self.part.steered && self.shard.clock.now() >= end_ns;
            if self.part.draining.get() || over {
                return false;
            }
            let end = self.shard.clock.instant(if self.part.steered { Nanos::MAX / 4 } else { end_ns });
            tokio::select! {
                () = self.part.changed.notified() => {}
                () = self.part.freed.notified() => {}
                () = tokio::time::sleep_until(end) => {}
            }
        }
        true
    }

    fn start(&mut self, arrival: Due) {
        let control = Rc::new(Control::default());
        let user = User::new(&self.shard, &self.part, Rc::clone(&control), arrival.id);
        self.part.live.set(self.part.live.get() + 1);
        let task = tokio::task::spawn_local(user.arrive(arrival.due_ns)).abort_handle();
        if self.live.len() >= 2 * (self.part.live.get() as usize + 8) {
            self.live.retain(|live| !live.task.is_finished());
        }
        self.live.push(Live { control, task });
    }

    /// Arrivals that were due and never found a slot are planned, and dropped.
    fn drop_what_is_due(&self) {
        self.shard.count_planned(&self.part, self.shard.clock.now());
        let unhandled = self.part.planned.get() - self.part.handled.get();
        self.shard.recorder.borrow_mut().counts.dropped += unhandled;
        self.part.handled.set(self.part.planned.get());
    }

    async fn drain(&mut self) {
        let by = self.shard.clock.now() + nanos(self.part.graceful_stop);
        while self.part.live.get() > 0 && self.shard.clock.now() < by && !self.shard.aborted.get() {
            tokio::select! {
                () = self.part.changed.notified() => {}
                () = self.part.freed.notified() => {}
                () = tokio::time::sleep_until(self.shard.clock.instant(by)) => {}
            }
        }
        for live in self.live.drain(..).filter(|live| !live.task.is_finished()) {
            live.task.abort();
            self.shard.interrupt(&live.control);
            self.part.live.set(self.part.live.get() - 1);
        }
    }
}
