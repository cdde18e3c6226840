//! One seed, many streams: every random choice of a run derives from (seed, purpose, id), so that results do not depend on how
//! many shards, processes or machines share the work.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// The generator a virtual user carries: 16 bytes of state, the same numbers on every platform and in every release.
pub type Stream = Pcg64Mcg;

/// What a stream is for; two purposes never share numbers even for the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Choices and think times of one virtual user (closed) or one arrival (open).
    User,
    /// Gaps between Poisson arrivals of one load part.
    Arrivals,
    /// The order in which a data table hands out its rows.
    Data,
    /// Which journey a user or an arrival follows.
    Mix,
    /// What an interval draws again from measured residuals.
    Bootstrap,
    /// What a prediction draws again from what was measured.
    Prediction,
}

/// The stream of `id` for `purpose` within `part` (the index of the load part or data table).
pub fn stream(seed: u64, purpose: Purpose, part: u64, id: u64) -> Stream {
    let mut state = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
    for word in [purpose as u64, part, id] {
        state =
            mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(word.wrapping_add(0x632b_e59b_d9b4_e019)));
    }
    Pcg64Mcg::seed_from_u64(state)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every input bit reaches every output bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::HashSet;

    #[test]
    fn a_stream_is_a_function_of_all_four_words() {
        let mut seen = HashSet::new();
        for seed in [1, 2] {
            for purpose in [
                Purpose::User,
                Purpose::Arrivals,
                Purpose::Data,
                Purpose::Mix,
                Purpose::Bootstrap,
                Purpose::Prediction,
            ] {
                for part in 0..3 {
                    for id in 0..50 {
                        assert!(seen.insert(stream(seed, purpose, part, id).next_u64()));
                    }
                }
            }
        }
        assert_eq!(stream(7, Purpose::User, 1, 2).next_u64(), stream(7, Purpose::User, 1, 2).next_u64());
    }
}
