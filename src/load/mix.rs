//! Which journey a user or arrival follows. Independent draws would leave 30 users of a 70:30 mix anywhere from 14 to 27 of the first
//! kind; here the proportions hold closely for every run of ids, and each id's choice is a function of (seed, part, id) alone. Who follows a user that
//! lived for one iteration is not asked: it takes over the journey with the place, or those that go would give way to those that stay.

use crate::seed::{Purpose, stream};
use rand::Rng;

/// Index of the weight that `id` falls on. A weight of zero is never picked; weights that are all zero pick the first.
///
/// The ids walk round a circle by the golden ratio from an offset that the seed gives, and the weights are arcs of that circle. Of all
/// rotations this one fills every arc most evenly (Knuth, TAOCP 3, section 6.4, theorem S), and it does so for every share's
/// subsequence of ids too, because no stride of ids brings the walk back to where it was.
pub fn pick(weights: &[u32], seed: u64, part: u64, id: u64) -> usize {
    /// 2^64 divided by the golden ratio, to the nearest odd number.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let offset = stream(seed, Purpose::Mix, part, 0).next_u64();
    let place = offset.wrapping_add(id.wrapping_mul(STEP));
    let mut rest = ((u128::from(place) * u128::from(total)) >> 64) as u64;
    for (index, &weight) in weights.iter().enumerate() {
        if rest < u64::from(weight) {
            return index;
        }
        rest -= u64::from(weight);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::share::Share;
    use proptest::prelude::{prop, prop_assert, proptest};

    #[test]
    fn seeds_and_parts_start_at_different_places() {
        let picks = |seed, part| (0..64).map(|id| pick(&[1, 1], seed, part, id)).collect::<Vec<_>>();
        assert_eq!(picks(1, 0), picks(1, 0));
        assert!(picks(1, 0) != picks(2, 0) && picks(1, 0) != picks(1, 1));
        assert_eq!((pick(&[], 1, 0, 0), pick(&[0, 0], 1, 0, 5)), (0, 0));
    }

    proptest! {
        #[test]
        fn every_run_of_ids_keeps_the_proportions(
            weights in prop::collection::vec(0_u32..100, 1..5), seed: u64, first in 0_u64..1_000_000, n in 1_u64..3000, shares in 1_u32..9,
        ) {
            let total = f64::from(weights.iter().sum::<u32>().max(1));
            for index in 0..shares {
                let share = Share::new(index, shares).unwrap();
                let mut counts = vec![0_u64; weights.len()];
                for k in 0..n {
                    counts[pick(&weights, seed, 3, share.id_of(first + k))] += 1;
                }
                for (&weight, &count) in weights.iter().zip(&counts).filter(|_| total > 1.0) {
                    let expected = n as f64 * f64::from(weight) / total;
                    let slack = if shares == 1 { 3.5 } else { 12.0 };
                    prop_assert!((count as f64 - expected).abs() <= slack, "{count} for {expected} of {n}, {shares} shares");
                    prop_assert!(weight > 0 || count == 0);
                }
            }
        }
    }
}
