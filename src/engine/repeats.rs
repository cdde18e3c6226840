//! When a request may be sent again: it was not looked at, or it met a connection that was just being closed.

use super::step::nanos;
use crate::clock::Nanos;
use crate::limits;
use crate::transport::ExchangeError;

/// A server that closes an idle connection just as a request comes says so within a round trip. One that takes longer had the request in
/// hand: repeating it would hide a failure of the target.
pub(super) const STALE_WITHIN_NS: Nanos = nanos(limits::STALE_CONNECTION_TOLD_WITHIN);

/// The repeats of one request.
#[derive(Default)]
pub(super) struct Repeats {
    /// When the first attempt began, once there was a second.
    pub(super) since_ns: Option<Nanos>,
    not_processed: u32,
    stale: bool,
}

impl Repeats {
    /// Whether it may be sent once more after this error; `stale` if it may have been lost on a connection that was being closed.
    pub(super) fn allow(&mut self, error: ExchangeError, stale: bool) -> bool {
        if error.not_processed() {
            self.not_processed += 1;
            return self.not_processed <= limits::NOT_PROCESSED_REPEATS_MAX;
        }
        let allowed = stale && !self.stale && error.answered_nothing();
        self.stale |= allowed;
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ExchangeError::{ClosedBeforeResponse, ClosedInBody};

    #[test]
    fn a_stale_connection_excuses_one_failure_without_an_answer() {
        let mut repeats = Repeats::default();
        assert!(!repeats.allow(ClosedBeforeResponse, false));
        assert!(!repeats.allow(ClosedInBody, true), "there was an answer");
        assert!(repeats.allow(ClosedBeforeResponse, true));
        assert!(!repeats.allow(ClosedBeforeResponse, true));
    }
}
