//! When a process that ended is started again: after a pause that doubles with every early end, and not for ever where it never came to serve.

use std::time::Duration;

/// A process that ends sooner than this after its start ended early.
const EARLY: Duration = Duration::from_secs(10);
/// Ends in a row before it served after which starting it once more is of no use.
const UNSERVED_MAX: u32 = 5;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A process that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{process} ended {UNSERVED_MAX} times in a row before it served, the last time with {how}; mend that and start again"
)]
pub struct FailingProcess {
    /// `replica 3`.
    pub process: String,
    /// How the process ended last, and its last words.
    pub how: String,
}

/// How one process lived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) lasted: Duration,
    /// It came so far as to serve. What kills it then is the load, and that may go.
    pub(super) served: bool,
}

/// The ends of one process.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    early_in_a_row: u32,
    unserved_in_a_row: u32,
}

impl Restarts {
    /// How long to wait before the next start after such a life; none when it should be given up.
    pub(super) fn ended(&mut self, life: Life) -> Option<Duration> {
        self.unserved_in_a_row = if life.served { 0 } else { self.unserved_in_a_row + 1 };
        if self.unserved_in_a_row >= UNSERVED_MAX {
            return None;
        }
        if life.lasted >= EARLY {
            self.early_in_a_row = 0;
            return Some(PAUSE_MIN);
        }
        let doubled = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.early_in_a_row));
        self.early_in_a_row += 1;
        Some(doubled.min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{EARLY, Life, Restarts};

    fn pauses_ms(lives: impl IntoIterator<Item = (Duration, bool)>) -> Vec<u128> {
        let mut restarts = Restarts::default();
        let lives = lives.into_iter().map(|(lasted, served)| Life { lasted, served });
        lives.map_while(|life| restarts.ended(life)).map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn one_that_never_serves_is_given_up_after_growing_pauses() {
        assert_eq!(pauses_ms([(Duration::ZERO, false); 9]), [100, 200, 400, 800]);
        // However long each of them took.
        assert_eq!(pauses_ms([(EARLY, false); 9]), [100, 100, 100, 100]);
    }

    #[test]
    fn one_that_the_load_kills_is_started_again_for_ever_and_ever_more_slowly() {
        let pauses = pauses_ms([(Duration::ZERO, true); 100]);
        assert_eq!(pauses.len(), 100);
        assert_eq!(pauses[..8], [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn one_that_lives_for_a_while_begins_anew() {
        let lives = [Duration::ZERO, Duration::ZERO, EARLY].map(|lasted| (lasted, true));
        let pauses = pauses_ms(lives.into_iter().cycle().take(60));
        assert_eq!(pauses[..6], [100, 200, 100, 100, 200, 100]);
        assert_eq!(pauses.len(), 60);
    }
}
