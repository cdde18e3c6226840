//! One replica set as its clients see it: which of its members is up, which is the primary, and what becomes of the others' documents when a
//! primary dies. Nothing here reads a clock: every process of a fleet knows of the same deaths at the same instants, and so comes to the same
//! elections. Who hears of one late begins again with all of them in their order.
//!
//! | from | to | when |
//! |---|---|---|
//! | a primary | none | it is killed; clients wait for a server |
//! | none | the last primary again | it is back by the time of the election: nobody has newer documents, and nothing is lost |
//! | none | a secondary | the election is due and a majority of the voters is up; what the secondary had not copied yet is rolled back |
//! | none | none | there is no majority: the set waits for the one who died |
//! | none | the last primary again | all is well, it was said |
//!
//! Members are as good as each other: whoever was elected stays the primary when the other is back. All instants are milliseconds since 1970.

use crate::profile::ReadPreference;

/// What a set is made of, and how quick it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Members that have the documents.
    pub(super) members: usize,
    /// Members that only vote.
    pub(super) arbiters: usize,
    /// From the death of a primary to the next one.
    pub(super) election_ms: u64,
    /// How far the secondaries are behind.
    pub(super) lag_ms: u64,
}

impl Terms {
    fn voters(self) -> usize {
        self.members + self.arbiters
    }

    fn majority(self) -> usize {
        self.voters() / 2 + 1
    }

    /// Members that have to have a write before a majority has it: arbiters vote, but keep nothing.
    fn majority_of_documents(self) -> usize {
        self.majority().min(self.members)
    }

    /// One server alone elects nobody, and is there again as soon as it is back.
    fn election_ms(self) -> u64 {
        if self.voters() == 1 { 0 } else { self.election_ms }
    }
}

/// What a member does, with its number in MongoDB's `replSetGetStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Primary = 1,
    Secondary = 2,
    Down = 8,
}

/// Documents that were written in this time went with the old primary, both ends excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RolledBack {
    pub(super) after_ms: u64,
    pub(super) before_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct ReplicaSet {
    terms: Terms,
    members: Vec<Member>,
    lead: Lead,
    elections: u64,
}

/// When a member is back from its last death.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    back_ms: u64,
}

#[derive(Clone, Copy, Debug)]
enum Lead {
    Primary(usize),
    /// None, since this one has died.
    None {
        last: usize,
        since_ms: u64,
    },
}

impl ReplicaSet {
    /// All members are up, and the first is the primary.
    pub(super) fn of(terms: Terms) -> Self {
        Self { terms, members: vec![Member::default(); terms.members], lead: Lead::Primary(0), elections: 0 }
    }

    /// Holds the election that has become due, if one has. What was rolled back by it, if anything was.
    pub(super) fn advance(&mut self, now_ms: u64) -> Option<RolledBack> {
        let Lead::None { last, since_ms } = self.lead else { return None };
        let at_ms = self.election_at_ms(since_ms).filter(|at_ms| *at_ms <= now_ms)?;
        let is_up = |member: &usize| self.is_up(*member, at_ms);
        let elected = Some(last).filter(is_up).or_else(|| (0..self.members.len()).find(is_up))?;
        self.take_lead(elected);
        let after_ms = since_ms.saturating_sub(self.terms.lag_ms);
        (elected != last).then_some(RolledBack { after_ms, before_ms: at_ms })
    }

    /// When there is a primary next: after the election time, as soon as there is a majority, and one of it has documents.
    fn election_at_ms(&self, since_ms: u64) -> Option<u64> {
        let due_ms = since_ms.saturating_add(self.terms.election_ms());
        let returns = self.members.iter().map(|member| member.back_ms.max(due_ms));
        returns.chain([due_ms]).filter(|at_ms| self.can_elect(*at_ms)).min()
    }

    fn can_elect(&self, at_ms: u64) -> bool {
        let up = self.up(at_ms).count();
        up > 0 && up + self.terms.arbiters >= self.terms.majority()
    }

    /// Kills the primary for so long, if there is one at that instant.
    pub(super) fn kill_primary(&mut self, at_ms: u64, for_ms: u64) -> Option<RolledBack> {
        let rolled_back = self.advance(at_ms);
        if let Lead::Primary(last) = self.lead {
            self.members[last] = Member { back_ms: at_ms.saturating_add(for_ms) };
            self.lead = Lead::None { last, since_ms: at_ms };
        }
        rolled_back
    }

    /// All is well from this instant on: who is still down is back, and where there is no primary the last one is it again.
    pub(super) fn bring_back(&mut self, at_ms: u64) -> Option<RolledBack> {
        let rolled_back = self.advance(at_ms);
        for member in &mut self.members {
            member.back_ms = member.back_ms.min(at_ms);
        }
        if let Lead::None { last, .. } = self.lead {
            self.take_lead(last);
        }
        rolled_back
    }

    fn take_lead(&mut self, member: usize) {
        self.lead = Lead::Primary(member);
        if self.terms.voters() > 1 {
            self.elections += 1;
        }
    }

    pub(super) fn primary(&self) -> Option<usize> {
        match self.lead {
            Lead::Primary(member) => Some(member),
            Lead::None { .. } => None,
        }
    }

    /// Whoever may serve this, by the drivers' specification of server selection; of several, the one whose turn it is.
    pub(super) fn select(&self, wanted: ReadPreference, now_ms: u64, turn: usize) -> Option<usize> {
        let in_turn = |fit: &dyn Fn(usize) -> bool| {
            let count = self.up(now_ms).filter(|member| fit(*member)).count();
            self.up(now_ms).filter(|member| fit(*member)).nth(turn.checked_rem(count)?)
        };
        let secondary = || in_turn(&|member| Some(member) != self.primary());
        match wanted {
            ReadPreference::Primary => self.primary(),
            ReadPreference::PrimaryPreferred => self.primary().or_else(secondary),
            ReadPreference::Secondary => secondary(),
            ReadPreference::SecondaryPreferred => secondary().or(self.primary()),
            ReadPreference::Nearest => in_turn(&|_| true),
        }
    }

    /// Whether this member can serve that now.
    pub(super) fn serves(&self, member: usize, wanted: ReadPreference, now_ms: u64) -> bool {
        let is_primary = self.primary() == Some(member);
        match wanted {
            ReadPreference::Primary => is_primary,
            ReadPreference::Secondary => !is_primary && self.is_up(member, now_ms),
            ReadPreference::PrimaryPreferred
            | ReadPreference::SecondaryPreferred
            | ReadPreference::Nearest => self.is_up(member, now_ms),
        }
    }

    /// Whether what began on this member then is cut off: it is down, was meanwhile, or was down already and nobody here had heard of it.
    pub(super) fn cuts_off(&self, member: usize, began_ms: u64) -> bool {
        self.members[member].back_ms > began_ms
    }

    /// Up to when a member has what was written; none if it has all of it.
    pub(super) fn has_until_ms(&self, member: usize, now_ms: u64) -> Option<u64> {
        match self.lead {
            Lead::Primary(primary) if primary == member => None,
            Lead::Primary(_) => Some(now_ms.saturating_sub(self.terms.lag_ms)),
            // Nobody is there to copy from.
            Lead::None { since_ms, .. } => Some(now_ms.min(since_ms).saturating_sub(self.terms.lag_ms)),
        }
    }

    /// Whether enough members are up for a write to reach a majority.
    pub(super) fn confirms(&self, now_ms: u64) -> bool {
        self.up(now_ms).count() >= self.terms.majority_of_documents()
    }

    /// When something is different next, if nobody kills or mends anything.
    pub(super) fn changes_at_ms(&self, now_ms: u64) -> Option<u64> {
        let election = match self.lead {
            Lead::None { since_ms, .. } => self.election_at_ms(since_ms),
            Lead::Primary(_) => None,
        };
        let returns = self.members.iter().map(|member| member.back_ms);
        returns.chain(election).filter(|at_ms| *at_ms > now_ms).min()
    }

    pub(super) fn state(&self, member: usize, now_ms: u64) -> State {
        match self.is_up(member, now_ms) {
            false => State::Down,
            true if self.primary() == Some(member) => State::Primary,
            true => State::Secondary,
        }
    }

    /// Elections so far.
    pub(super) fn elections(&self) -> u64 {
        self.elections
    }

    fn is_up(&self, member: usize, at_ms: u64) -> bool {
        self.members[member].back_ms <= at_ms
    }

    fn up(&self, at_ms: u64) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(move |member| self.is_up(*member, at_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::{ReplicaSet, RolledBack, State, Terms};
    use crate::profile::ReadPreference;

    /// Two with documents and one that votes, as the shop has them.
    const SHOP: Terms = Terms { members: 2, arbiters: 1, election_ms: 12_000, lag_ms: 50 };
    const ALONE: Terms = Terms { members: 1, arbiters: 0, election_ms: 12_000, lag_ms: 50 };

    fn killed(terms: Terms, for_ms: u64) -> ReplicaSet {
        let mut set = ReplicaSet::of(terms);
        assert_eq!(set.kill_primary(100_000, for_ms), None);
        set
    }

    #[test]
    fn a_dead_primary_is_followed_by_a_secondary_and_what_that_had_not_copied_is_rolled_back() {
        let mut set = killed(SHOP, 60_000);
        assert_eq!((set.primary(), set.changes_at_ms(100_000)), (None, Some(112_000)));
        assert_eq!(set.advance(111_999), None);
        assert_eq!(set.primary(), None);
        assert_eq!(set.advance(112_000), Some(RolledBack { after_ms: 99_950, before_ms: 112_000 }));
        assert_eq!((set.primary(), set.elections()), (Some(1), 1));
        let states = |set: &ReplicaSet, at_ms| [0, 1].map(|member| set.state(member, at_ms));
        assert_eq!(states(&set, 159_999), [State::Down, State::Primary]);
        assert_eq!(states(&set, 160_000), [State::Secondary, State::Primary], "it does not take over again");
        assert_eq!((set.advance(200_000), set.elections()), (None, 1));
    }

    #[test]
    fn one_that_is_back_by_the_election_has_the_newest_documents() {
        let mut set = killed(SHOP, 3_000);
        assert_eq!(set.advance(112_000), None);
        assert_eq!((set.primary(), set.elections()), (Some(0), 1));
    }

    #[test]
    fn without_a_majority_nobody_is_elected() {
        let mut set = killed(Terms { arbiters: 0, ..SHOP }, 60_000);
        assert_eq!((set.advance(159_999), set.primary()), (None, None));
        assert_eq!((set.advance(160_000), set.primary()), (None, Some(0)));
    }

    #[test]
    fn one_server_alone_is_down_for_as_long_as_it_is() {
        let mut set = killed(ALONE, 3_000);
        assert_eq!((set.advance(102_999), set.primary()), (None, None));
        assert_eq!((set.advance(103_000), set.primary(), set.elections()), (None, Some(0), 0));
    }

    #[test]
    fn all_is_well_as_soon_as_it_is_said_to_be() {
        for terms in [ALONE, SHOP] {
            let mut set = killed(terms, 3_600_000);
            assert!(set.cuts_off(0, 99_000) && set.cuts_off(0, 100_500));
            assert_eq!(set.bring_back(101_000), None);
            assert_eq!((set.primary(), set.advance(112_000)), (Some(0), None));
            assert!(set.cuts_off(0, 99_000) && set.cuts_off(0, 100_500), "it was down then");
            assert!(!set.cuts_off(0, 101_000));
        }
    }

    #[test]
    fn a_secondary_has_nothing_that_its_primary_had_no_time_to_give_it() {
        let mut set = ReplicaSet::of(SHOP);
        assert_eq!((set.has_until_ms(0, 100_020), set.has_until_ms(1, 100_020)), (None, Some(99_970)));
        set.kill_primary(100_020, 60_000);
        assert_eq!([100_030, 111_000].map(|now_ms| set.has_until_ms(1, now_ms)), [Some(99_970); 2]);
        set.advance(112_020);
        assert_eq!(set.has_until_ms(1, 112_020), None);
    }

    #[test]
    fn the_second_death_is_that_of_the_second_primary() {
        let mut set = killed(Terms { members: 3, arbiters: 0, ..SHOP }, 20_000);
        set.kill_primary(100_001, 20_000);
        set.advance(112_000);
        assert_eq!(set.primary(), Some(1), "there was no primary to kill");
        set.kill_primary(113_000, 3_600_000);
        assert_eq!(set.advance(125_000), Some(RolledBack { after_ms: 112_950, before_ms: 125_000 }));
        assert_eq!(set.primary(), Some(0));
    }

    #[test]
    fn who_is_read_from_is_as_preferred() {
        let select = |set: &ReplicaSet, wanted, turn| set.select(wanted, 101_000, turn);
        let well = ReplicaSet::of(Terms { members: 3, arbiters: 0, ..SHOP });
        let mut dead = killed(Terms { members: 3, arbiters: 0, ..SHOP }, 60_000);
        dead.advance(101_000);
        for (wanted, of_well, of_dead) in [
            (ReadPreference::Primary, [Some(0); 2], [None; 2]),
            (ReadPreference::PrimaryPreferred, [Some(0); 2], [Some(1), Some(2)]),
            (ReadPreference::Secondary, [Some(1), Some(2)], [Some(1), Some(2)]),
            (ReadPreference::SecondaryPreferred, [Some(1), Some(2)], [Some(1), Some(2)]),
            (ReadPreference::Nearest, [Some(0), Some(1)], [Some(1), Some(2)]),
        ] {
            assert_eq!([0, 1].map(|turn| select(&well, wanted, turn)), of_well, "{wanted:?}");
            assert_eq!([0, 1].map(|turn| select(&dead, wanted, turn)), of_dead, "{wanted:?}");
        }
        let alone = ReplicaSet::of(ALONE);
        assert_eq!(select(&alone, ReadPreference::Secondary, 5), None);
        assert_eq!(select(&alone, ReadPreference::SecondaryPreferred, 5), Some(0));
    }

    #[test]
    fn an_arbiter_confirms_no_write() {
        let mut set = killed(SHOP, 60_000);
        set.advance(112_000);
        assert!(set.primary().is_some() && !set.confirms(112_000));
        assert!(set.confirms(160_000));
        let mut set = killed(Terms { members: 3, arbiters: 0, ..SHOP }, 60_000);
        set.advance(112_000);
        assert!(set.confirms(112_000));
    }

    proptest! {
        #[test]
        fn whoever_looks_often_sees_what_one_sees_who_looks_once(
            members in 1_usize..5, arbiters in 0_usize..2, lag_ms in 0_u64..500,
            deaths in prop::collection::vec((0_u64..40_000, 1_u64..30_000), 0..6),
        ) {
            let terms = Terms { members, arbiters, election_ms: 5_000, lag_ms };
            let mut deaths = deaths;
            deaths.sort_unstable();
            let (mut often, mut once) = (ReplicaSet::of(terms), ReplicaSet::of(terms));
            let (mut lost_often, mut lost_once) = (Vec::new(), Vec::new());
            let mut next = deaths.iter().peekable();
            for now_ms in (0..90_000).step_by(250) {
                while let Some((at_ms, for_ms)) = next.next_if(|(at_ms, _)| *at_ms <= now_ms) {
                    lost_often.extend(often.kill_primary(*at_ms, *for_ms));
                }
                lost_often.extend(often.advance(now_ms));
                assert!(often.primary().is_none_or(|member| often.state(member, now_ms) == State::Primary));
            }
            for (at_ms, for_ms) in &deaths {
                lost_once.extend(once.kill_primary(*at_ms, *for_ms));
            }
            lost_once.extend(once.advance(90_000));
            assert_eq!((often.primary(), often.elections(), lost_often), (once.primary(), once.elections(), lost_once));
            assert!(once.primary().is_some(), "in the end all are back");
        }
    }
}
