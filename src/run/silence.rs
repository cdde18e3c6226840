//! Whether the target is still there: a run against nothing would only fill its record with refusals.

/// Seconds in which requests ended and not one of them for another reason than having no connection.
#[derive(Debug)]
pub(super) struct Silence {
    limit_s: u64,
    held_s: u64,
}

impl Silence {
    pub(super) fn new(limit_s: u64) -> Self {
        Self { limit_s, held_s: 0 }
    }

    /// Takes in a span: how many requests ended in it and messages came, and how many of the former failed to connect. Any answer, and be it
    /// a wrong one, is a sign of life; a span in which nothing ended says nothing. True once the silence has lasted.
    pub(super) fn span(&mut self, ended: u64, connect_failures: u64, span_s: u64) -> bool {
        if ended > connect_failures {
            self.held_s = 0;
        } else if connect_failures > 0 {
            self.held_s += span_s;
        }
        self.held_s >= self.limit_s
    }

    pub(super) fn held_s(&self) -> u64 {
        self.held_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_seconds_of_nothing_but_refusals_count() {
        let mut silence = Silence::new(3);
        // (ended, of them for lack of a connection), and how long the silence has lasted then.
        let seconds = [
            ((10, 10), 1),
            ((0, 0), 1),
            ((10, 10), 2),
            ((10, 9), 0), // an answer, or a time-out on an open connection
            ((10, 10), 1),
            ((5, 0), 0),
        ];
        for ((ended, refused), held_s) in seconds {
            assert!(!silence.span(ended, refused, 1));
            assert_eq!(silence.held_s(), held_s, "after {refused} refusals of {ended}");
        }
        assert!(!silence.span(8, 8, 2) && silence.span(8, 8, 1));
    }
}
