//! The memory of signatures that were taken, so that none is taken twice. A signature is good for as long as its time lies in
//! the window, so they are kept by their second and go with it.
//!
//! The memory is bounded. When it is full, the oldest second goes early, and from then on whatever was signed in it or before
//! is refused as too old, new or not: the window narrows, and no replay gets through. (IPsec's window of sequence numbers
//! does the same: RFC 4303, 3.4.3.)

use std::collections::{BTreeMap, HashSet};

use super::Reason;

/// The whole signature.
pub(super) type Signature = [u8; 32];

pub(super) struct Memory {
    by_second: BTreeMap<u64, HashSet<Signature>>,
    count: usize,
    max: usize,
    window_s: u64,
    /// What was signed before this second is refused.
    floor_s: u64,
}

impl Memory {
    pub(super) fn of(max: usize, window_s: u64) -> Self {
        Self { by_second: BTreeMap::new(), count: 0, max, window_s, floor_s: 0 }
    }

    /// Takes a signature of this second, at `now_s`, both since 1970; how many seconds had to be forgotten early for it.
    pub(super) fn take(&mut self, signature: Signature, signed_s: u64, now_s: u64) -> Result<u64, Reason> {
        self.forget_expired(now_s);
        if signed_s < self.floor_s || signed_s.abs_diff(now_s) > self.window_s {
            return Err(Reason::SignatureStale);
        }
        if !self.by_second.entry(signed_s).or_default().insert(signature) {
            return Err(Reason::SignatureReplayed);
        }
        self.count += 1;
        let mut narrowed = 0;
        while self.count > self.max && self.forget_first() {
            narrowed += 1;
        }
        Ok(narrowed)
    }

    fn forget_expired(&mut self, now_s: u64) {
        let oldest_s = now_s.saturating_sub(self.window_s);
        while self.by_second.first_key_value().is_some_and(|(second, _)| *second < oldest_s) {
            self.forget_first();
        }
    }

    /// The clock may be set back: what is forgotten is never taken again.
    fn forget_first(&mut self) -> bool {
        let Some((second, signatures)) = self.by_second.pop_first() else { return false };
        self.count -= signatures.len();
        self.floor_s = self.floor_s.max(second + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::{any, prop, proptest};

    use super::Memory;
    use crate::guard::Reason;

    fn signature(number: u8) -> [u8; 32] {
        [number; 32]
    }

    proptest! {
        #[test]
        fn none_is_taken_twice_and_no_more_are_kept_than_there_is_room_for(
            max in 1_usize..8,
            asks in prop::collection::vec((any::<u8>(), 0_u64..40, 0_u64..40), 0..200),
        ) {
            let (mut memory, mut taken) = (Memory::of(max, 10), HashSet::new());
            for (number, signed_s, now_s) in asks {
                // The same text signed at another second has another signature.
                let mut bytes = signature(number);
                bytes[0] = signed_s as u8;
                if memory.take(bytes, signed_s, now_s).is_ok() {
                    assert!(signed_s.abs_diff(now_s) <= 10);
                    assert!(taken.insert(bytes), "{number} of {signed_s} at {now_s}");
                }
                assert!(memory.count <= max);
                assert_eq!(memory.count, memory.by_second.values().map(HashSet::len).sum::<usize>());
            }
        }

        #[test]
        fn with_room_and_a_clock_that_runs_every_new_one_in_the_window_is_taken(
            steps in prop::collection::vec((0_u64..3, -10_i64..=10), 0..100),
        ) {
            let (mut memory, mut now_s) = (Memory::of(1_000, 10), 1_000_u64);
            for (number, (step_s, off_s)) in steps.into_iter().enumerate() {
                now_s += step_s;
                let signed_s = now_s.saturating_add_signed(off_s);
                assert_eq!(memory.take(signature(number as u8), signed_s, now_s), Ok(0));
                assert_eq!(memory.take(signature(number as u8), signed_s, now_s), Err(Reason::SignatureReplayed));
            }
        }
    }

    #[test]
    fn a_full_memory_narrows_the_window_and_lets_no_replay_through() {
        let mut memory = Memory::of(2, 10);
        assert_eq!(memory.take(signature(1), 100, 100), Ok(0));
        assert_eq!(memory.take(signature(2), 101, 101), Ok(0));
        assert_eq!(memory.take(signature(3), 101, 101), Ok(1));
        assert_eq!(memory.take(signature(1), 100, 101), Err(Reason::SignatureStale));
        assert_eq!(memory.take(signature(9), 100, 101), Err(Reason::SignatureStale));
        assert_eq!(memory.take(signature(2), 101, 101), Err(Reason::SignatureReplayed));
        assert_eq!(memory.take(signature(4), 102, 102), Ok(1));
        assert_eq!(memory.take(signature(4), 102, 102), Err(Reason::SignatureReplayed));
    }

    #[test]
    fn the_window_has_both_its_ends() {
        for (signed_s, ok) in [(89, false), (90, true), (110, true), (111, false)] {
            assert_eq!(Memory::of(9, 10).take(signature(1), signed_s, 100).is_ok(), ok, "{signed_s}");
        }
    }
}
