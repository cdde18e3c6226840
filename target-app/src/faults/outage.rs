//! What befalls the servers of the store: told to every process of a fleet with the same instants, so that all see the same of it.

/// Instants are milliseconds since 1970. Of one instant, deaths come before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// The primary of a shard dies, and is back after so long.
    Death { at_ms: u64, shard: u32, for_ms: u64 },
    /// Whoever is still down is back.
    End { at_ms: u64 },
}

/// Adds one in its place, if it was not known yet. One end after another changes nothing and is left out.
pub(super) fn add(outages: &mut Vec<Outage>, new: Outage) {
    let order = |outage: &Outage| (outage.at_ms(), matches!(outage, Outage::End { .. }));
    let place = outages.partition_point(|outage| order(outage) <= order(&new));
    let before = outages[..place].last();
    let is_end = |outage: Option<&Outage>| matches!(outage, Some(Outage::End { .. }));
    let changes_nothing = outages.contains(&new) || (is_end(Some(&new)) && is_end(before));
    if !changes_nothing {
        outages.insert(place, new);
    }
}

impl Outage {
    pub(crate) fn at_ms(self) -> u64 {
        match self {
            Self::Death { at_ms, .. } | Self::End { at_ms } => at_ms,
        }
    }
}

/// The shards whose primary was killed and is not back, with the time that is left of it.
pub(super) fn left_ms(outages: &[Outage], now_ms: u64) -> Vec<(u32, u64)> {
    let mended_ms = outages.iter().map(|outage| match outage {
        Outage::End { at_ms } => *at_ms,
        Outage::Death { .. } => 0,
    });
    let mended_ms = mended_ms.max().unwrap_or(0);
    let left = |outage: &Outage| match *outage {
        Outage::Death { at_ms, shard, for_ms } if at_ms > mended_ms => {
            let left_ms = at_ms.saturating_add(for_ms).saturating_sub(now_ms);
            (left_ms > 0).then_some((shard, left_ms))
        }
        _ => None,
    };
    outages.iter().filter_map(left).collect()
}

#[cfg(test)]
mod tests {
    use super::{Outage, add, left_ms};

    #[test]
    fn what_is_told_late_or_twice_comes_to_the_same() {
        let death = |at_ms| Outage::Death { at_ms, shard: 0, for_ms: 5 };
        let end = |at_ms| Outage::End { at_ms };
        let told = |outages: &[Outage]| {
            let mut all = Vec::new();
            for outage in outages {
                add(&mut all, *outage);
            }
            all
        };
        let in_time = told(&[death(10), end(20), death(20), death(30), end(40), end(50)]);
        assert_eq!(in_time, [death(10), death(20), end(20), death(30), end(40)]);
        assert_eq!(told(&[end(40), death(30), death(30), end(20), death(10), death(20)]), in_time);
    }

    #[test]
    fn an_outage_is_told_of_until_it_is_over_or_ended() {
        let death = |at_ms, shard| Outage::Death { at_ms, shard, for_ms: 1_000 };
        let mut outages = vec![death(100, 0), death(600, 2)];
        assert_eq!(left_ms(&outages, 1_050), [(0, 50), (2, 550)]);
        assert_eq!(left_ms(&outages, 1_100), [(2, 500)]);
        outages.push(Outage::End { at_ms: 1_200 });
        assert_eq!(left_ms(&outages, 1_200), []);
        outages.push(death(1_300, 1));
        assert_eq!(left_ms(&outages, 1_300), [(1, 1_000)]);
    }
}
