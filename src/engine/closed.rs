//! The closed model: as many users as the curve says, each looping through its journey. Users leave by finishing their iteration;
//! one that has not finished within the graceful stop is cut off and counted as interrupted.

use super::control::Control;
use super::part::Part;
use super::shard::Shard;
use super::step::nanos;
use super::user::User;
use crate::clock::Nanos;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::task::AbortHandle;

struct Live {
    control: Rc<Control>,
    task: AbortHandle,
}

pub(super) async fn run(shard: Rc<Shard>, part: Rc<Part>) {
    tokio::time::sleep_until(shard.clock.instant(part.start_ns)).await;
    let mut crowd = Crowd { users: Vec::new(), leaving: VecDeque::new(), next: Rc::new(Cell::new(0)) };
    loop {
        let now = shard.clock.now();
        crowd.cut_off_late(&shard, &part, now);
        if part.is_over(now) {
            break;
        }
        let elapsed = part.elapsed_ns(now);
        let (wanted, change) = {
            let curve = part.curve.borrow();
            let total = curve.users_at(elapsed);
            (shard.share.users_of(total), curve.next_change(elapsed, total).map(|(at, _)| part.start_ns + at))
        };
        crowd.resize(&shard, &part, wanted, now);
        let end = (!part.steered).then(|| part.start_ns + part.curve.borrow().end_ns());
        let wake = [change, end, crowd.leaving.front().map(|(by, _)| *by)].into_iter().flatten().min();
        tokio::select! {
            () = part.changed.notified() => {}
            () = sleep_until(&shard, wake) => {}
        }
    }
    crowd.resize(&shard, &part, 0, shard.clock.now());
    let by = shard.clock.now() + nanos(part.graceful_stop);
    while part.live.get() > 0 && shard.clock.now() < by && !shard.aborted.get() {
        tokio::select! {
            () = part.changed.notified() => {}
            () = part.freed.notified() => {}
            () = sleep_until(&shard, Some(by)) => {}
        }
    }
    crowd.cut_off_late(&shard, &part, Nanos::MAX);
}

async fn sleep_until(shard: &Shard, at: Option<Nanos>) {
    match at {
        Some(at) => tokio::time::sleep_until(shard.clock.instant(at)).await,
        None => std::future::pending().await,
    }
}

struct Crowd {
    users: Vec<Live>,
    /// Told to leave, with the instant at which they are cut off; earliest first.
    leaving: VecDeque<(Nanos, Live)>,
    /// How many users this shard has made; its k-th has the number `index + k × count`.
    next: Rc<Cell<u64>>,
}

impl Crowd {
    fn resize(&mut self, shard: &Rc<Shard>, part: &Rc<Part>, wanted: u64, now: Nanos) {
        while (self.users.len() as u64) < wanted {
            let control = Rc::new(Control::default());
            let id = shard.share.id_of(take(&self.next));
            let user = User::new(shard, part, Rc::clone(&control), id);
            let (next, share) = (Rc::clone(&self.next), shard.share);
            part.live.set(part.live.get() + 1);
            let task = tokio::task::spawn_local(user.live(move || share.id_of(take(&next)))).abort_handle();
            self.users.push(Live { control, task });
        }
        let by = now + nanos(part.graceful_stop);
        while self.users.len() as u64 > wanted {
            let Some(user) = self.users.pop() else { break };
            user.control.retire.set(true);
            if !user.task.is_finished() {
                self.leaving.push_back((by, user));
            }
        }
    }

    /// Ends every leaving user whose time is up and counts what it was in the middle of.
    fn cut_off_late(&mut self, shard: &Shard, part: &Part, now: Nanos) {
        self.leaving.retain(|(_, user)| !user.task.is_finished());
        while self.leaving.front().is_some_and(|(by, _)| *by <= now) {
            let Some((_, user)) = self.leaving.pop_front() else { break };
            user.task.abort();
            shard.interrupt(&user.control);
            part.live.set(part.live.get() - 1);
        }
    }
}

fn take(counter: &Cell<u64>) -> u64 {
    counter.replace(counter.get() + 1)
}
