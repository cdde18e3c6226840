//! Seconds on their way from the members of a crew: put together when every member has passed them. Members are the shards of an agent,
//! or the agents of a run; nothing here knows which.

use crate::measure::snapshot::Snapshot;
use std::collections::BTreeMap;

/// Seconds that are not complete yet.
pub(super) struct Seconds {
    open: BTreeMap<u64, Second>,
    /// Up to which second each member has reported.
    reached: Vec<u64>,
    ended: Vec<bool>,
}

struct Second {
    sum: Snapshot,
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
}

impl Second {
    fn new(members: usize) -> Self {
        Self { sum: Snapshot::default(), members: vec![None; members] }
    }

    /// The second after `earlier` takes that in: both become one span, at the end of which the later gauges hold.
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

    fn into_snapshot(self) -> Snapshot {
        let members = || self.members.iter().flatten();
        Snapshot {
            users: members().map(|member| member.users).sum(),
            sockets: members().map(|member| member.sockets).sum(),
            pss_bytes: members().map(|member| member.pss_bytes).sum(),
            run_queue_ns_max: members().map(|member| member.queued_ns).max().flatten(),
            shard_cpu_ns_max: members().map(|member| member.cpu_ns).max().unwrap_or(0),
            ..self.sum
        }
    }
}

impl Seconds {
    pub(super) fn new(members: usize) -> Self {
        Self { open: BTreeMap::new(), reached: vec![0; members], ended: vec![false; members] }
    }

    pub(super) fn add(&mut self, member: usize, snapshot: &Snapshot) {
        self.reached[member] = self.reached[member].max(snapshot.end_s);
        let mut own = Second::new(self.reached.len());
        own.members[member] = Some(Gauges {
            users: snapshot.users,
            sockets: snapshot.sockets,
            pss_bytes: snapshot.pss_bytes,
            cpu_ns: snapshot.shard_cpu_ns_max,
            queued_ns: snapshot.run_queue_ns_max,
        });
        let members = self.reached.len();
        let second = self.open.entry(snapshot.end_s).or_insert_with(|| Second::new(members));
        second.take_in(&own);
        second.sum.add(snapshot);
    }

    /// The second up to which a member has reported.
    pub(super) fn reached_s(&self, member: usize) -> u64 {
        self.reached[member]
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
        loop {
            let first = self.open.first_entry()?;
            let end_s = *first.key();
            let passed = |member: usize| self.ended[member] || self.reached[member] >= end_s;
            if !(0..self.reached.len()).all(passed) {
                return None;
            }
            let second = first.remove();
            // A member that has reported only past this second tells of it in one of those to come.
            let whole =
                |(member, own): (usize, &Option<Gauges>)| own.is_some() || self.reached[member] < end_s;
            let whole = second.members.iter().enumerate().all(whole);
            match self.open.first_entry() {
                Some(mut next) if !whole => next.get_mut().take_in(&second),
                _ => return Some(Box::new(second.into_snapshot())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(end_s: u64, planned: u64) -> Snapshot {
        let mut snapshot = Snapshot { end_s, ..Snapshot::default() };
        snapshot.counts.planned = planned;
        snapshot
    }

    #[test]
    fn a_second_is_handed_on_when_every_shard_has_passed_it() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, &second(1, 10));
        seconds.add(0, &second(2, 20));
        assert!(seconds.complete().is_none());
        seconds.add(1, &second(1, 1));
        let first = seconds.complete().expect("both have passed second 1");
        assert_eq!((first.end_s, first.counts.planned), (1, 11));
        assert!(seconds.complete().is_none());
        seconds.end(1);
        assert_eq!(seconds.complete().expect("member 1 has ended").counts.planned, 20);
        assert!(!seconds.all_ended());
    }

    #[test]
    fn seconds_that_a_shard_reports_as_one_are_joined_for_all() {
        let shown = |end_s, users, cpu_ns| Snapshot {
            end_s,
            users,
            sockets: users,
            shard_cpu_ns_max: cpu_ns,
            run_queue_ns_max: Some(2 * cpu_ns),
            ..second(end_s, 1)
        };
        let mut seconds = Seconds::new(2);
        for (end_s, users) in [(1, 4), (2, 5), (3, 6)] {
            seconds.add(0, &shown(end_s, users, 100));
        }
        seconds.add(1, &shown(3, 50, 150));
        let joined = seconds.complete().expect("both have passed second 3");
        assert_eq!((joined.end_s, joined.counts.planned), (3, 4));
        assert_eq!((joined.users, joined.sockets), (56, 56), "each member's users once, as they were last");
        assert_eq!(joined.shard_cpu_ns_max, 300, "the CPU time of the busiest thread over the whole span");
        assert_eq!(joined.run_queue_ns_max, Some(600), "and the waiting of the one that waited most");
        assert!(seconds.complete().is_none());
    }

    #[test]
    fn the_last_seconds_of_a_shard_that_ended_wait_for_nobody() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, &second(1, 1));
        seconds.add(0, &second(2, 1));
        seconds.add(1, &second(1, 1));
        seconds.end(1);
        assert_eq!(seconds.complete().expect("both").counts.planned, 2);
        assert_eq!(seconds.complete().expect("the other has ended before").counts.planned, 1);
    }
}
