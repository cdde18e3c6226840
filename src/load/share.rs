//! An agent's or shard's disjoint slice of the users and arrivals of a load, known from (index, count) alone: nobody has to be asked
//! in the path of a request, and the union over all shares is the same load whatever their number.

/// Part `index` of `count`: the ids congruent to `index` modulo `count`. Interleaving keeps every share at the same fraction of a
/// ramp at every instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    count: u32,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// `None` unless `index < count`.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    pub fn index(self) -> u32 {
        self.index
    }

    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether user or arrival `id` belongs here.
    pub fn owns(self, id: u64) -> bool {
        id % u64::from(self.count) == u64::from(self.index)
    }

    /// How many of the ids below `total` belong here.
    pub fn users_of(self, total: u64) -> u64 {
        total.saturating_sub(u64::from(self.index)).div_ceil(u64::from(self.count))
    }

    /// The id of this share's own `k`-th user or arrival, from 0.
    pub fn id_of(self, k: u64) -> u64 {
        k * u64::from(self.count) + u64::from(self.index)
    }

    /// This share of what only so many shares can have a part of: `None` for those that have none. The others divide all of it.
    pub fn among(self, shares_max: u32) -> Option<Self> {
        Self::new(self.index, self.count.min(shares_max))
    }

    /// This share cut into `parts` of its own (an agent's share over its shards), `None` unless `part < parts`. Cutting n agents into m
    /// shards each gives the same ids as cutting into n·m.
    pub fn of(self, part: u32, parts: u32) -> Option<Self> {
        (part < parts).then(|| Self { index: self.index + self.count * part, count: self.count * parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn shares_partition_the_ids(count in 1_u32..10, parts in 1_u32..5, total in 0_u64..5000) {
            let shares: Vec<_> = (0..count)
                .flat_map(|index| (0..parts).map(move |part| (index, part)))
                .map(|(index, part)| Share::new(index, count).unwrap().of(part, parts).unwrap())
                .collect();
            prop_assert_eq!(shares.iter().map(|share| share.users_of(total)).sum::<u64>(), total);
            for id in 0..total.min(200) {
                prop_assert_eq!(shares.iter().filter(|share| share.owns(id)).count(), 1);
            }
            for share in &shares {
                let users = share.users_of(total);
                prop_assert!((0..users).all(|k| share.owns(share.id_of(k)) && share.id_of(k) < total));
                prop_assert!(share.id_of(users) >= total);
                prop_assert!(users.abs_diff(total / u64::from(count * parts)) <= 1, "shares differ by at most one");
            }
        }
    }

    #[test]
    fn fewer_shares_than_there_are_divide_all_of_it() {
        let among = |index, shares_max| Share::new(index, 4).unwrap().among(shares_max);
        assert_eq!((among(0, 1), among(1, 1)), (Some(Share::WHOLE), None));
        assert_eq!((among(1, 2), among(2, 2), among(3, 9)), (Share::new(1, 2), None, Share::new(3, 4)));
        assert_eq!(among(0, 0), None);
    }

    #[test]
    fn an_index_past_the_count_is_no_share() {
        assert_eq!((Share::new(3, 3), Share::WHOLE.of(2, 2)), (None, None));
    }
}
