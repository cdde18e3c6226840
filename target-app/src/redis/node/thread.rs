//! The one thread of a Redis node: commands are served one after the other, each for its dialled time, in the order in which they came.
//!
//! Nothing is worked off: a node that kept a core busy would take it from the generator on the same machine. When a command comes, the
//! moment is computed at which it is done: a service time after the one before it, or after its coming if the thread is idle then. Its answer
//! goes out at that moment. So a busy thread serves exactly 1 / (service time) a second, however late a timer is.
//!
//! The thread can be told to be slow for a while. That is its pace and no price of a command: one that comes to its turn when the while is over is as
//! quick as ever, whenever it came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::lock::lock;

/// A command in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    name: &'static str,
    came: Instant,
    takes: Duration,
    done: Instant,
}

/// How many times as long everything takes, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) slower: f64,
    pub(super) until: Instant,
}

impl Pace {
    /// When work is done that is begun then and takes so long at the usual pace.
    fn done(self, begun: Instant, work: Duration) -> Instant {
        let slow = work.mul_f64(self.slower);
        let slow_left = self.until.saturating_duration_since(begun);
        if slow_left.is_zero() {
            return begun + work;
        } else if slow <= slow_left {
            return begun + slow;
        }
        // What is not done by the end of the slow time goes on at the usual pace. (With a factor of zero all is done at once.)
        begun + slow_left + work.saturating_sub(slow_left.div_f64(self.slower))
    }
}

/// The place of a command in line, and when it is done unless the pace changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    number: u64,
    pub(super) done: Instant,
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
    /// Changes when those in line are done at other moments than they were told.
    paces: watch::Sender<()>,
}

struct State {
    busy_until: Instant,
    pace: Pace,
    /// Those that are not accounted for, in their order.
    line: VecDeque<Turn>,
    /// How many have been.
    settled: u64,
    account: Account,
}

impl Thread {
    pub(super) fn idle(service_time: Duration, now: Instant) -> Self {
        let pace = Pace { slower: 1.0, until: now };
        let state =
            State { busy_until: now, pace, line: VecDeque::new(), settled: 0, account: Account::default() };
        Self { service_time, state: Mutex::new(state), paces: watch::Sender::default() }
    }

    /// A command comes and gets in line; of those that are not known, `unknown`.
    pub(super) fn admit(&self, name: &'static str, now: Instant) -> Ticket {
        let mut state = self.state();
        state.settle(now);
        let begun = state.busy_until.max(now);
        let done = state.pace.done(begun, self.service_time);
        state.busy_until = done;
        let number = state.settled + state.line.len() as u64;
        state.line.push_back(Turn { name, came: now, takes: done - begun, done });
        Ticket { number, done }
    }

    /// Goes on at this pace, also with what is in line.
    pub(super) fn go_at(&self, pace: Pace, now: Instant) {
        let mut state = self.state();
        state.settle(now);
        state.pace = pace;
        let mut begun = now;
        for (place, turn) in state.line.iter_mut().enumerate() {
            // Of the one that is being served a part is done.
            let begun_before = turn.done - turn.takes;
            let (work, so_far) = if place == 0 && begun_before < now && !turn.takes.is_zero() {
                let left = (turn.done - now).div_duration_f64(turn.takes);
                (self.service_time.mul_f64(left.min(1.0)), now - begun_before)
            } else {
                (self.service_time, Duration::ZERO)
            };
            turn.done = pace.done(begun, work);
            turn.takes = so_far + (turn.done - begun);
            begun = turn.done;
        }
        state.busy_until = begun;
        drop(state);
        self.paces.send_replace(());
    }

    /// When the command is done, as it is known now.
    pub(super) fn done(&self, ticket: Ticket) -> Instant {
        let state = self.state();
        let place = ticket.number.checked_sub(state.settled).and_then(|place| usize::try_from(place).ok());
        // One that has been settled was done by then.
        place.and_then(|place| state.line.get(place)).map_or(ticket.done, |turn| turn.done)
    }

    /// Tells of every change of what [`Thread::done`] says.
    pub(super) fn paces(&self) -> watch::Receiver<()> {
        self.paces.subscribe()
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
            self.settled += 1;
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

    use super::{Pace, Thread};
    use crate::clock;

    #[test]
    fn a_command_waits_for_those_before_it_and_for_no_others() {
        let (start, ms) = (clock::now(), Duration::from_millis(1));
        let thread = Thread::idle(10 * ms, start);
        let turns = [0, 0, 5, 100].map(|after| thread.admit("get", start + after * ms).done);
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
    fn a_thread_is_slow_for_a_while_and_then_as_quick_as_ever() {
        let (start, ms) = (clock::now(), Duration::from_millis(1));
        let thread = Thread::idle(10 * ms, start);
        thread.go_at(Pace { slower: 5.0, until: start + 80 * ms }, start);
        let tickets = [0, 0, 0].map(|_| thread.admit("get", start));
        let done = |thread: &Thread| tickets.map(|ticket| (thread.done(ticket) - start).as_millis());
        // The second does 6 of its 10 ms in the 30 that are slow, and the rest at once.
        assert_eq!(done(&thread), [50, 84, 94]);
        let account = thread.account(start + 94 * ms);
        assert_eq!((account.by_command["get"].took, account.waited), (94 * ms, (50 + 84) * ms));
        assert_eq!(done(&thread), [50, 84, 94], "what is done stays so");
    }

    #[test]
    fn what_is_in_line_goes_on_at_the_new_pace() {
        let (start, ms) = (clock::now(), Duration::from_millis(1));
        let thread = Thread::idle(10 * ms, start);
        let ever = start + Duration::from_secs(3_600);
        thread.go_at(Pace { slower: 10.0, until: ever }, start);
        let tickets = [0, 0, 0].map(|_| thread.admit("get", start));
        let mut paces = thread.paces();
        assert_eq!((tickets[2].done - start).as_millis(), 300);
        // Half of the first is done.
        thread.go_at(Pace { slower: 1.0, until: start }, start + 50 * ms);
        assert!(paces.has_changed().unwrap());
        paces.mark_unchanged();
        assert_eq!(tickets.map(|ticket| (thread.done(ticket) - start).as_millis()), [55, 65, 75]);
        assert_eq!((thread.admit("get", start + 60 * ms).done - start).as_millis(), 85);
        let account = thread.account(start + 85 * ms);
        assert_eq!((account.pending, account.by_command["get"].took), (0, 85 * ms));
    }

    proptest! {
        #[test]
        fn it_is_never_idle_while_someone_waits_and_never_does_two_at_once(gaps in proptest::collection::vec(0_u64..400, 1..200)) {
            let (mut now, service) = (clock::now(), Duration::from_micros(100));
            let thread = Thread::idle(service, now);
            let mut last_done = now;
            for gap in gaps {
                now += Duration::from_micros(gap);
                let done = thread.admit("get", now).done;
                assert_eq!(done, last_done.max(now) + service);
                last_done = done;
            }
        }
    }
}
