//! Of which servers the embedded database is made, what they are called, and which of them has a document: shards, each a replica set.

use crate::demand::Operation;
use crate::profile::{Mongodb, ReadPreference};

/// Of a shard key that is hashed, the parts that a shard can have: `id * 40503 mod 65536`, the multiplicative hash of Knuth, The Art of Computer
/// Programming, 6.4, with the golden ratio of 2^16. SQLite can compute it as well.
const PARTS: u64 = 65_536;
const GOLDEN: u64 = 40_503;

/// One more than the last shard there can be, as the dial has it.
pub(super) const SHARDS_MAX: usize = 16;

/// The servers that have documents, shard by shard. A shard's first member is its primary at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) shards: usize,
    pub(crate) members: usize,
}

impl Topology {
    pub(crate) fn of(dials: &Mongodb) -> Self {
        Self { shards: dials.shards as usize, members: dials.replica_set.members as usize }
    }

    pub(crate) fn servers(self) -> usize {
        self.shards * self.members
    }

    /// `mongodb` where there is one, or `mongodb-1`, `mongodb-shard-2`, or `mongodb-shard-2-1`: shard and member, from zero.
    pub(crate) fn name(self, shard: usize, member: usize) -> String {
        match (self.shards, self.members) {
            (1, 1) => "mongodb".to_owned(),
            (1, _) => format!("mongodb-{member}"),
            (_, 1) => format!("mongodb-shard-{shard}"),
            _ => format!("mongodb-shard-{shard}-{member}"),
        }
    }

    /// The shard of a user, whose key is the hash of its id.
    pub(crate) fn shard_of_user(self, id: u32) -> usize {
        (u64::from(id) * GOLDEN % PARTS * self.shards as u64 / PARTS) as usize
    }

    /// The same as an expression of SQL over the column `id`.
    pub(super) fn shard_of_user_sql(self) -> String {
        format!("(id * {GOLDEN} % {PARTS} * {} / {PARTS})", self.shards)
    }

    /// The shard of a lead that is written now: the last one, which has all from its first instant to the end of time.
    pub(crate) fn shard_of_new_lead(self) -> usize {
        self.shards - 1
    }

    /// How often one operation of this kind is at each server, shard by shard, where all users are asked for evenly. What is not sharded is on the
    /// first shard. Leads, and users by email, are asked for without their shard key, and so of all shards at once.
    pub(crate) fn visits(self, operation: Operation, preference: ReadPreference, users: u32) -> Vec<f64> {
        let by_shard: Vec<f64> = match operation {
            Operation::UserByEmail | Operation::LeadsList => vec![1.0; self.shards],
            Operation::LeadInsert => self.only(self.shard_of_new_lead()),
            Operation::UserById if users > 0 => {
                let mut of_shard = vec![0.0; self.shards];
                for id in 1..=users {
                    of_shard[self.shard_of_user(id)] += 1.0 / f64::from(users);
                }
                of_shard
            }
            // Nobody knows yet whose turn it is.
            Operation::UserInsert | Operation::UserById => vec![1.0 / self.shards as f64; self.shards],
            Operation::ProductsList
            | Operation::ProductById
            | Operation::ProductsByIds
            | Operation::ProductsSearch
            | Operation::OrderInsert
            | Operation::OrderById
            | Operation::OrdersByIds => self.only(0),
        };
        let by_member = self.by_member(operation.writes(), preference);
        by_shard.iter().flat_map(|visits| by_member.iter().map(move |share| visits * share)).collect()
    }

    fn only(self, shard: usize) -> Vec<f64> {
        (0..self.shards).map(|one| f64::from(u8::from(one == shard))).collect()
    }

    /// The share of each member while all are up.
    fn by_member(self, writes: bool, preference: ReadPreference) -> Vec<f64> {
        let secondaries = self.members - 1;
        let share = |member: usize| match (preference, member) {
            (ReadPreference::Nearest, _) if !writes => 1.0 / self.members as f64,
            (ReadPreference::Secondary | ReadPreference::SecondaryPreferred, _)
                if !writes && secondaries > 0 =>
            {
                if member == 0 {
                    0.0
                } else {
                    1.0 / secondaries as f64
                }
            }
            (_, 0) => 1.0,
            _ => 0.0,
        };
        (0..self.members).map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::Topology;
    use crate::demand::Operation;
    use crate::profile::ReadPreference;

    const WIDE: Topology = Topology { shards: 3, members: 2 };

    #[test]
    fn users_are_spread_evenly_and_alike_in_sql() {
        let db = Connection::open_in_memory().unwrap();
        let sql = format!("SELECT {} FROM (SELECT ?1 AS id)", WIDE.shard_of_user_sql());
        let in_sql = |id: u32| db.query_row(&sql, [id], |row| row.get::<_, u32>(0)).unwrap() as usize;
        let mut counts = [0; 3];
        for id in (1..=3_000).chain([u32::MAX]) {
            let shard = WIDE.shard_of_user(id);
            assert_eq!(in_sql(id), shard);
            counts[shard] += 1;
        }
        assert!(counts.iter().all(|count| (980..=1_020).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_operation_visits_the_shards_that_have_what_it_is_about() {
        let visits = |operation, preference| WIDE.visits(operation, preference, 0);
        use Operation::{LeadInsert, LeadsList, ProductById, UserById};
        use ReadPreference::{Nearest, Primary, SecondaryPreferred};
        assert_eq!(visits(ProductById, Primary), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(visits(ProductById, SecondaryPreferred), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(visits(LeadInsert, SecondaryPreferred), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(visits(LeadsList, Nearest), [0.5; 6]);
        assert_eq!(visits(UserById, Primary).iter().sum::<f64>(), 1.0);
    }

    #[test]
    fn a_server_alone_has_the_name_of_all_of_it() {
        let name = |shards, members| Topology { shards, members }.name(shards - 1, members - 1);
        assert_eq!(
            [name(1, 1), name(1, 2), name(3, 1), name(3, 2)],
            ["mongodb", "mongodb-1", "mongodb-shard-2", "mongodb-shard-2-1"]
        );
    }
}
