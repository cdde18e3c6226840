//! When a replica that ended is started again: after a pause that doubles with every early end, and not for ever.

use std::time::Duration;

/// A replica that ends sooner than this after its start ended early.
pub(super) const EARLY: Duration = Duration::from_secs(10);
/// Early ends in a row after which starting it once more is of no use.
pub(super) const EARLY_ENDS_MAX: u32 = 5;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A replica that cannot be kept alive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "replica {replica} ended {} times in a row within {} s of its start, the last time with {how}; mend that and start again",
    EARLY_ENDS_MAX, EARLY.as_secs()
)]
pub struct FailingReplica {
    pub replica: u32,
    /// How the process ended last, and its last words.
    pub how: String,
}

/// The ends of one replica.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    early_in_a_row: u32,
}

impl Restarts {
    /// How long to wait before the next start of a replica that lived so long; none when it should be given up.
    pub(super) fn ended(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= EARLY {
            self.early_in_a_row = 0;
            return Some(PAUSE_MIN);
        }
        self.early_in_a_row += 1;
        if self.early_in_a_row >= EARLY_ENDS_MAX {
            return None;
        }
        Some((PAUSE_MIN * 2_u32.pow(self.early_in_a_row - 1)).min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{EARLY, Restarts};

    #[test]
    fn one_that_dies_at_once_is_given_up_after_growing_pauses() {
        let mut restarts = Restarts::default();
        let pauses: Vec<_> =
            std::iter::from_fn(|| restarts.ended(Duration::ZERO)).map(|p| p.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800]);
    }

    #[test]
    fn one_that_lives_for_a_while_may_die_as_often_as_it_likes() {
        let mut restarts = Restarts::default();
        for _ in 0..50 {
            assert!(restarts.ended(Duration::ZERO).is_some());
            assert!(restarts.ended(Duration::ZERO).is_some());
            assert_eq!(restarts.ended(EARLY), Some(Duration::from_millis(100)));
        }
    }
}
