//! Seconds on their way from the members of a crew: put together when every member has passed them, or those that have not are too far
//! behind. Members are the shards of an agent, or the agents of a run; nothing here knows which.

use crate::clock::Nanos;
use crate::limits::SNAPSHOT_WAIT;
use crate::measure::snapshot::Snapshot;
use std::collections::BTreeMap;

/// Seconds that are not complete yet.
pub(super) struct Seconds {
    open: BTreeMap<u64, Second>,
    /// Up to which second each member has reported.
    reached: Vec<u64>,
    /// And up to which instant by its own clock.
    reached_ns: Vec<Nanos>,
    ended: Vec<bool>,
    /// What each member showed in the last second handed on of which it has told.
    shown: Vec<Option<Gauges>>,
    /// The second that was handed on last.
    told_s: u64,
}

struct Second {
    sum: Box<Snapshot>,
    /// What does not simply add up, by member; `None` where a member has not reported.
    members: Vec<Option<Gauges>>,
}

/// What a member shows at the end of a span, and the CPU time of its thread in it.
#[derive(Clone, Copy)]
struct Gauges {
    users: u64,
    sockets: u64,
    pss_bytes: u64,
    cpu_ns: u64,
    queued_ns: Option<u64>,
    /// All of it belongs to seconds that were handed on before this one.
    overdue: bool,
}

impl Second {
    /// What `member` of so many tells of the second `end_s`.
    fn of(member: usize, members: usize, mut snapshot: Box<Snapshot>, end_s: u64) -> Self {
        let mut own = vec![None; members];
        own[member] = Some(Gauges {
            users: snapshot.users,
            sockets: snapshot.sockets,
            pss_bytes: snapshot.pss_bytes,
            cpu_ns: snapshot.shard_cpu_ns_max,
            queued_ns: snapshot.run_queue_ns_max,
            overdue: snapshot.end_s < end_s,
        });
        snapshot.late |= snapshot.end_s < end_s;
        snapshot.end_s = end_s;
        Self { sum: snapshot, members: own }
    }

    /// The second after `earlier`, or what was told of it after that, takes that in: both become one span, at the end of which the later
    /// gauges hold.
    fn take_in(&mut self, earlier: &Self) {
        self.sum.add(&earlier.sum);
        for (mine, earlier) in self.members.iter_mut().zip(&earlier.members) {
            *mine = match (*mine, *earlier) {
                (Some(mine), Some(earlier)) => Some(Gauges {
                    cpu_ns: mine.cpu_ns + earlier.cpu_ns,
                    queued_ns: mine.queued_ns.zip(earlier.queued_ns).map(|(a, b)| a + b),
                    ..mine
                }),
                (mine, earlier) => mine.or(earlier),
            };
        }
    }

    fn into_snapshot(mut self) -> Box<Snapshot> {
        let members = || self.members.iter().flatten();
        self.sum.users = members().map(|member| member.users).sum();
        self.sum.sockets = members().map(|member| member.sockets).sum();
        self.sum.pss_bytes = members().map(|member| member.pss_bytes).sum();
        self.sum.run_queue_ns_max = members().map(|member| member.queued_ns).max().flatten();
        self.sum.shard_cpu_ns_max = members().map(|member| member.cpu_ns).max().unwrap_or(0);
        self.sum
    }
}

impl Seconds {
    pub(super) fn new(members: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            reached: vec![0; members],
            reached_ns: vec![0; members],
            ended: vec![false; members],
            shown: vec![None; members],
            told_s: 0,
        }
    }

    /// Takes the snapshot itself: with many endpoints it is megabytes, and a copy would be as many more.
    pub(super) fn add(&mut self, member: usize, mut snapshot: Box<Snapshot>) {
        // It tells of seconds that were handed on without it, in whatever second its own end.
        snapshot.late |= self.reached[member] < self.told_s;
        self.reached[member] = self.reached[member].max(snapshot.end_s);
        self.reached_ns[member] = self.reached_ns[member].max(snapshot.end_ns);
        // Of a second that was handed on already nothing can be said any more, and nothing may be lost.
        let end_s = snapshot.end_s.max(self.told_s + 1);
        let mut second = Second::of(member, self.reached.len(), snapshot, end_s);
        if let Some(told_before) = self.open.remove(&end_s) {
            second.take_in(&told_before);
        }
        self.open.insert(end_s, second);
    }

    /// The instant up to which a member has reported.
    pub(super) fn reached_ns(&self, member: usize) -> Nanos {
        self.reached_ns[member]
    }

    pub(super) fn end(&mut self, member: usize) {
        self.ended[member] = true;
    }

    pub(super) fn end_all(&mut self) {
        self.ended.fill(true);
    }

    pub(super) fn all_ended(&self) -> bool {
        self.ended.iter().all(|&ended| ended)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        self.ended.iter().enumerate().filter(|(_, ended)| !**ended).map(|(member, _)| member)
    }

    /// The earliest second to which no member has anything to add. A member that was behind reports several seconds as one; those of the
    /// others are then joined, so that each span handed on is a span of all members.
    pub(super) fn complete(&mut self) -> Option<Box<Snapshot>> {
        self.hand_on(false)
    }

    /// The earliest second that some have passed by so much that the others are waited for no longer: whoever watches over the run must not
    /// be blind while one member is silent.
    pub(super) fn overdue(&mut self) -> Option<Box<Snapshot>> {
        self.hand_on(true)
    }

    fn hand_on(&mut self, without_late: bool) -> Option<Box<Snapshot>> {
        let furthest_s = self.reached.iter().max().copied().unwrap_or(0);
        loop {
            let first = self.open.first_entry()?;
            let end_s = *first.key();
            let passed = |member: usize| self.ended[member] || self.reached[member] >= end_s;
            let whole_crew = (0..self.reached.len()).all(passed);
            let is_overdue = without_late && furthest_s >= end_s + SNAPSHOT_WAIT.as_secs();
            if !whole_crew && !is_overdue {
                return None;
            }
            let mut second = first.remove();
            second.sum.late |= !whole_crew;
            // A member that has reported only past this second tells of it in one of those to come.
            let told = |own: &Option<Gauges>| own.is_some_and(|own| !own.overdue);
            let whole = |(member, own): (usize, &Option<Gauges>)| told(own) || self.reached[member] < end_s;
            let whole = second.members.iter().enumerate().all(whole);
            match self.open.first_entry() {
                Some(mut next) if !whole => next.get_mut().take_in(&second),
                _ => {
                    self.told_s = end_s;
                    self.carry_over(&mut second.members);
                    return Some(second.into_snapshot());
                }
            }
        }
    }

    /// Users and sockets of a member that is behind have not gone: what it showed last holds until it tells more, or has ended.
    fn carry_over(&mut self, members: &mut [Option<Gauges>]) {
        for ((own, shown), ended) in members.iter_mut().zip(&mut self.shown).zip(&self.ended) {
            match own {
                Some(_) => *shown = *own,
                None if !ended => *own = shown.map(|shown| Gauges { cpu_ns: 0, queued_ns: None, ..shown }),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    fn second(end_s: u64, planned: u64) -> Box<Snapshot> {
        let mut snapshot = Box::new(Snapshot { end_s, ..Snapshot::default() });
        snapshot.counts.planned = planned;
        snapshot
    }

    #[test]
    fn a_second_is_handed_on_when_every_shard_has_passed_it() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, second(1, 10));
        seconds.add(0, second(2, 20));
        assert!(seconds.complete().is_none());
        seconds.add(1, second(1, 1));
        let first = seconds.complete().expect("both have passed second 1");
        assert_eq!((first.end_s, first.counts.planned), (1, 11));
        assert!(seconds.complete().is_none());
        seconds.end(1);
        assert_eq!(seconds.complete().expect("member 1 has ended").counts.planned, 20);
        assert!(!seconds.all_ended());
    }

    #[test]
    fn seconds_that_a_shard_reports_as_one_are_joined_for_all() {
        let shown = |end_s, users, cpu_ns| {
            Box::new(Snapshot {
                end_s,
                users,
                sockets: users,
                shard_cpu_ns_max: cpu_ns,
                run_queue_ns_max: Some(2 * cpu_ns),
                ..*second(end_s, 1)
            })
        };
        let mut seconds = Seconds::new(2);
        for (end_s, users) in [(1, 4), (2, 5), (3, 6)] {
            seconds.add(0, shown(end_s, users, 100));
        }
        seconds.add(1, shown(3, 50, 150));
        let joined = seconds.complete().expect("both have passed second 3");
        assert_eq!((joined.end_s, joined.counts.planned), (3, 4));
        assert_eq!((joined.users, joined.sockets), (56, 56), "each member's users once, as they were last");
        assert_eq!(joined.shard_cpu_ns_max, 300, "the CPU time of the busiest thread over the whole span");
        assert_eq!(joined.run_queue_ns_max, Some(600), "and the waiting of the one that waited most");
        assert!(seconds.complete().is_none());
    }

    /// What is handed on now: (its second, iterations, whether it is late).
    fn told(second: Option<Box<Snapshot>>) -> Option<(u64, u64, bool)> {
        second.map(|second| (second.end_s, second.counts.planned, second.late))
    }

    #[test]
    fn users_of_who_is_silent_are_there_until_it_has_ended() {
        let held = |end_s, users| Box::new(Snapshot { end_s, users, sockets: users, ..Snapshot::default() });
        let users =
            |second: Option<Box<Snapshot>>| second.map(|second| (second.end_s, second.users, second.sockets));
        let mut seconds = Seconds::new(2);
        seconds.add(1, held(1, 30));
        for end_s in 1..=5 {
            seconds.add(0, held(end_s, 10 + end_s));
        }
        assert_eq!(users(seconds.complete()), Some((1, 41, 41)));
        assert_eq!(users(seconds.overdue()), Some((2, 42, 42)), "of the silent one what it showed last");
        seconds.add(1, held(3, 20));
        assert_eq!(users(seconds.complete()), Some((3, 33, 33)));
        seconds.end(1);
        assert_eq!(users(seconds.complete()), Some((4, 14, 14)), "who has ended has no users");
    }

    #[test]
    fn who_is_silent_is_waited_for_only_so_long_and_nothing_of_it_is_lost() {
        let mut seconds = Seconds::new(2);
        seconds.add(1, second(1, 100));
        for end_s in 1..=4 {
            seconds.add(0, second(end_s, 1));
        }
        assert_eq!(told(seconds.complete()), Some((1, 101, false)));
        assert_eq!(told(seconds.overdue()), None, "second 2 is 2 s ago");
        seconds.add(0, second(5, 1));
        assert_eq!(told(seconds.complete()), None);
        assert_eq!(told(seconds.overdue()), Some((2, 1, true)), "without the silent one");
        assert_eq!(told(seconds.overdue()), None, "second 3 is 2 s ago");

        // It speaks again: of seconds that are over, then of several as one.
        seconds.add(1, second(2, 100));
        assert_eq!(seconds.reached[1], 2, "what it has reached is by its own clock");
        assert_eq!(told(seconds.complete()), None, "it has not passed second 3");
        seconds.add(1, second(5, 300));
        assert_eq!(told(seconds.complete()), Some((5, 403, true)), "2 to 5 of the one, 3 to 5 of the other");
        for member in 0..2 {
            seconds.add(member, second(6, 1));
        }
        assert_eq!(told(seconds.complete()), Some((6, 2, false)), "and all is well again");
    }

    #[test]
    fn a_silent_member_that_speaks_at_the_end_has_a_second_after_all_others() {
        let shown = |end_s, users| Box::new(Snapshot { users, end_ns: end_s * 7, ..*second(end_s, 1) });
        let mut seconds = Seconds::new(2);
        (1..=4).for_each(|end_s| seconds.add(0, shown(end_s, 5)));
        seconds.end(0);
        assert_eq!(told(seconds.overdue()), Some((1, 1, true)));
        seconds.end_all();
        let rest: Vec<_> = std::iter::from_fn(|| told(seconds.complete())).collect();
        assert_eq!(rest, [(2, 1, false), (3, 1, false), (4, 1, false)]);
        for (end_s, users) in [(1, 9), (2, 8), (3, 7)] {
            seconds.add(1, shown(end_s, users));
        }
        let last = seconds.complete().expect("what came last");
        assert_eq!((last.end_s, last.counts.planned, last.users, last.late), (5, 3, 7, true));
    }

    /// Its second is later than all that were told without it, and holds what happened in them.
    #[test]
    fn who_was_silent_and_tells_it_all_at_once_is_late() {
        let mut seconds = Seconds::new(2);
        (1..=5).for_each(|end_s| seconds.add(0, second(end_s, 1)));
        assert_eq!(told(seconds.overdue()), Some((1, 1, true)));
        assert_eq!(told(seconds.overdue()), Some((2, 1, true)));
        seconds.add(0, second(6, 1));
        seconds.add(1, second(6, 600));
        assert_eq!(
            told(seconds.complete()),
            Some((6, 604, true)),
            "six seconds of the one, four of the other"
        );
        (0..2).for_each(|member| seconds.add(member, second(7, 1)));
        assert_eq!(told(seconds.complete()), Some((7, 2, false)));
    }

    /// However members fall behind and catch up, what is handed on is the sum of what they told, in seconds that grow.
    #[test]
    fn whatever_the_order_the_sum_is_kept() {
        let mut seconds = Seconds::new(3);
        let (mut given, mut taken, mut last_s) = (0, 0, 0);
        let mut take = |second: Option<Box<Snapshot>>| {
            let Some(second) = second else { return false };
            assert!(second.end_s > last_s, "{} after {last_s}", second.end_s);
            last_s = second.end_s;
            taken += second.counts.planned;
            true
        };
        let mut at_s = [0_u64; 3];
        for turn in 0..600_u64 {
            let dice = crate::seed::stream(7, crate::seed::Purpose::User, 0, turn).next_u64();
            let member = (dice % 3) as usize;
            // Each falls silent in its turn, and tells of several seconds as one now and then.
            if turn / 50 % 4 == member as u64 {
                continue;
            }
            at_s[member] += 1 + dice / 3 % 2;
            given += dice / 6 % 5;
            seconds.add(member, second(at_s[member], dice / 6 % 5));
            while take(seconds.complete()) {}
            while take(seconds.overdue()) {}
        }
        seconds.end_all();
        while take(seconds.complete()) {}
        assert_eq!(taken, given);
    }

    #[test]
    fn the_last_seconds_of_a_shard_that_ended_wait_for_nobody() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, second(1, 1));
        seconds.add(0, second(2, 1));
        seconds.add(1, second(1, 1));
        seconds.end(1);
        assert_eq!(seconds.complete().expect("both").counts.planned, 2);
        assert_eq!(seconds.complete().expect("the other has ended before").counts.planned, 1);
    }
}
