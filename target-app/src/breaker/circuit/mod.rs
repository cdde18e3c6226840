//! When a breaker opens, half-opens and closes: opossum's rules on instants that are handed in.

mod window;

use std::time::{Duration, Instant};

use self::window::Window;
use crate::profile;

/// How a breaker stands.
///
/// | state | what happens | then |
/// |---|---|---|
/// | closed | an operation is asked for | it passes |
/// | closed | one fails, at least `volume_threshold` were asked for in the window, and more than `error_threshold_percent` of these have failed | open |
/// | open | an operation is asked for | it is rejected |
/// | open | `reset_timeout_ms` have passed | half-open |
/// | half-open | the first operation is asked for | it passes: the trial |
/// | half-open | others are, before the trial has ended | they are rejected |
/// | half-open | the trial succeeds | closed |
/// | half-open | the trial fails | open, for another `reset_timeout_ms` |
///
/// What passed in an earlier state and ends now is counted in the window and changes nothing else: it tells of the store as it was.
/// (In opossum it would decide in place of the trial.) What is rejected counts as asked for, as there. The window is not emptied by
/// any of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { trial: bool },
}

pub(super) const NAMES: [&str; 3] = ["closed", "open", "half_open"];

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Closed => NAMES[0],
            Self::Open { .. } => NAMES[1],
            Self::HalfOpen { .. } => NAMES[2],
        }
    }
}

/// Leave to do one operation.
#[derive(Debug)]
pub(super) struct Pass {
    /// How often the breaker had changed its state by then.
    era: u64,
}

/// The state, and what it is decided by.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    era: u64,
    window: Window,
    volume_threshold: u64,
    error_threshold_percent: f64,
    reset_timeout: Duration,
    /// How long the trial may take: when to ask again who came during it.
    timeout: Duration,
}

impl Circuit {
    pub(super) fn closed(dials: &profile::Breaker, now: Instant) -> Self {
        Self {
            state: State::Closed,
            era: 0,
            window: Window::starting(now, Duration::from_millis(dials.rolling_window_ms)),
            volume_threshold: dials.volume_threshold,
            error_threshold_percent: dials.error_threshold_percent,
            reset_timeout: Duration::from_millis(dials.reset_timeout_ms),
            timeout: Duration::from_millis(dials.timeout_ms),
        }
    }

    /// Lets an operation pass, or tells when to ask again.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Pass, Duration> {
        self.window.asked(now);
        match self.state(now) {
            State::Closed => {}
            State::Open { until } => return Err(until.duration_since(now)),
            State::HalfOpen { trial: true } => return Err(self.timeout),
            State::HalfOpen { trial: false } => self.state = State::HalfOpen { trial: true },
        }
        Ok(Pass { era: self.era })
    }

    /// An operation that had been let pass has ended; whether the breaker opens over that.
    pub(super) fn ended(&mut self, pass: Pass, failed: bool, now: Instant) -> bool {
        if failed {
            self.window.failed(now);
        }
        if pass.era != self.era {
            return false;
        }
        match self.state(now) {
            State::HalfOpen { .. } if !failed => self.change(State::Closed),
            State::HalfOpen { .. } => self.open(now),
            State::Closed if failed && self.too_many_failed(now) => self.open(now),
            State::Closed | State::Open { .. } => {}
        }
        matches!(self.state, State::Open { .. })
    }

    /// How it stands at this instant.
    pub(super) fn state(&mut self, now: Instant) -> State {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.change(State::HalfOpen { trial: false });
        }
        self.state
    }

    fn too_many_failed(&mut self, now: Instant) -> bool {
        let (asked, failed) = self.window.totals(now);
        asked >= self.volume_threshold && failed as f64 / asked as f64 * 100.0 > self.error_threshold_percent
    }

    fn open(&mut self, now: Instant) {
        self.change(State::Open { until: now + self.reset_timeout });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests;
