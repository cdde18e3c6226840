//! The one thread of a Redis node: commands are served one after the other, each for its dialled time, in the order in which they came.
//!
//! Nothing is worked off: a node that kept a core busy would take it from the generator on the same machine. When a command comes, the
//! moment is computed at which it is done: a service time after the one before it, or after its coming if the thread is idle then. Its answer
//! goes out at that moment. So a busy thread serves exactly 1 / (service time) a second, however late a timer is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// A command in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    name: &'static str,
    came: Instant,
    takes: Duration,
    done: Instant,
}

/// What the thread has done so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Account {
    pub(super) by_command: BTreeMap<&'static str, Served>,
    /// Commands that have come and are not done.
    pub(super) pending: usize,
    /// Time that commands which are done waited for their turn.
    pub(super) waited: Duration,
}

/// Commands of one name that are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) count: u64,
    pub(super) took: Duration,
}

pub(super) struct Thread {
    service_time: Duration,
    state: Mutex<State>,
}

struct State {
    busy_until: Instant,
    /// Those that are not accounted for, in their order.
    line: VecDeque<Turn>,
    account: Account,
}

impl Thread {
    pub(super) fn idle(service_time: Duration, now: Instant) -> Self {
        let state = State { busy_until: now, line: VecDeque::new(), account: Account::default() };
        Self { service_time, state: Mutex::new(state) }
    }

    /// A command comes and gets in line (of those that are not known, `unknown`), and takes so many times as long as one usually does; when it is
    /// done.
    pub(super) fn admit(&self, name: &'static str, slower: f64, now: Instant) -> Instant {
        let mut state = self.state();
        state.settle(now);
        let takes = self.service_time.mul_f64(slower);
        let done = state.busy_until.max(now) + takes;
        state.busy_until = done;
        state.line.push_back(Turn { name, came: now, takes, done });
        done
    }

    /// What it has done by now, whether or not its clients have read it.
    pub(super) fn account(&self, now: Instant) -> Account {
        let mut state = self.state();
        state.settle(now);
        Account { pending: state.line.len(), ..state.account.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Accounts for those that are done.
    fn settle(&mut self, now: Instant) {
        while let Some(turn) = self.line.pop_front_if(|turn| turn.done <= now) {
            self.account.waited += (turn.done - turn.came).saturating_sub(turn.takes);
            let served = self.account.by_command.entry(turn.name).or_default();
            served.count += 1;
            served.took += turn.takes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::proptest;

    use super::Thread;
    use crate::clock;

    #[test]
    fn a_command_waits_for_those_before_it_and_for_no_others() {
        let (start, ms) = (clock::now(), Duration::from_millis(1));
        let thread = Thread::idle(10 * ms, start);
        let turns = [0, 0, 5, 100].map(|after| thread.admit("get", 1.0, start + after * ms));
        let done = turns.map(|done| (done - start).as_millis());
        assert_eq!(done, [10, 20, 30, 110]);
        let account = thread.account(start + 109 * ms);
        assert_eq!((account.pending, account.by_command["get"].count), (1, 3));
        let account = thread.account(start + 110 * ms);
        // 0, 10 and 15 ms in line, and none for the last.
        assert_eq!((account.pending, account.waited), (0, 25 * ms));
        assert_eq!((account.by_command["get"].count, account.by_command["get"].took), (4, 40 * ms));
    }

    #[test]
    fn a_slow_command_holds_up_those_behind_it_and_its_time_is_counted_as_it_was() {
        let (start, ms) = (clock::now(), Duration::from_millis(1));
        let thread = Thread::idle(10 * ms, start);
        let done = [5.0, 1.0].map(|slower| (thread.admit("get", slower, start) - start).as_millis());
        assert_eq!(done, [50, 60]);
        let account = thread.account(start + 60 * ms);
        assert_eq!((account.by_command["get"].took, account.waited), (60 * ms, 50 * ms));
    }

    proptest! {
        #[test]
        fn it_is_never_idle_while_someone_waits_and_never_does_two_at_once(gaps in proptest::collection::vec(0_u64..400, 1..200)) {
            let (mut now, service) = (clock::now(), Duration::from_micros(100));
            let thread = Thread::idle(service, now);
            let mut last_done = now;
            for gap in gaps {
                now += Duration::from_micros(gap);
                let done = thread.admit("get", 1.0, now);
                assert_eq!(done, last_done.max(now) + service);
                last_done = done;
            }
        }
    }
}
