//! The line before a pool of a closed network that loses requests: who waits too long gives up, who finds the line full is turned away. Seen from
//! outside it is a part of the network whose rate goes on rising with the jobs that are there, since those who give up leave as well.
//!
//! Symbols: c slots; ν completions per second with all of them in use; τ timeout, s; a(j) requests per second that give up while j wait.
//!
//! Source: Movaghar, "On queueing with customer impatience until the beginning of service", Queueing Systems 29, 1998: exact for one pool and
//! arrivals that depend on how many are there, as those of users who think do.

use super::level::{AtPool, Kept};
use super::model::Pool;
use super::patience::leaving_per_s;
use super::weights::Rates;

/// How many times faster than anybody else comes or goes those leave who are turned away: at once, as far as numbers go.
const AT_ONCE: f64 = 1e9;

#[derive(Debug)]
pub(super) struct Line {
    timeout_s: Option<f64>,
    bounded: bool,
    /// Completions per second with 1, 2, … c slots in use.
    served: Rates,
    /// a(1), a(2), …
    leaving_per_s: Vec<f64>,
    /// How fast those leave who find the line full; `None` where nobody can.
    turned_away_per_s: Option<f64>,
}

impl Line {
    /// The line of a pool whose slots serve as `served` has it, before which `waiting_max` could wait if it let them. They come at no more than
    /// `come_per_s`.
    pub(super) fn before(pool: &Pool, served: Rates, waiting_max: usize, come_per_s: f64) -> Self {
        let full_per_s = served.max();
        let room = pool.queue_max.unwrap_or(usize::MAX).min(waiting_max);
        let leaving_per_s = match pool.timeout_s {
            Some(timeout_s) => leaving_per_s(full_per_s, timeout_s, room),
            None => vec![0.0; room],
        };
        let fastest_per_s = come_per_s.max(full_per_s + leaving_per_s.last().copied().unwrap_or(0.0));
        Self {
            timeout_s: pool.timeout_s,
            bounded: pool.queue_max.is_some(),
            served,
            leaving_per_s,
            turned_away_per_s: (room < waiting_max).then_some(AT_ONCE * fastest_per_s),
        }
    }

    /// How many may wait.
    pub(super) fn room(&self) -> usize {
        self.leaving_per_s.len()
    }

    /// What leaves with 1, 2, … jobs at the pool, served or not.
    pub(super) fn rates(&self) -> Rates {
        let within = (1..=self.served.kept()).map(|n| self.served.at(n));
        let waiting = self.leaving_per_s.iter().map(|leaving| self.served.max() + leaving);
        Rates::measured(within.chain(waiting).chain(self.turned_away_per_s))
    }

    /// The pool with `inside[n]` the probability of n jobs at it, of which `asked_per_s` come; and the probabilities of 0, 1, … slots in use.
    pub(super) fn seen(&self, inside: &[f64], asked_per_s: f64) -> (AtPool, Vec<f64>) {
        let (within, line) = inside.split_at(self.served.kept().min(inside.len()));
        let p_all_busy: f64 = line.iter().sum();
        let mut in_use = within.to_vec();
        in_use.push(p_all_busy);
        let mean = |of: &dyn Fn(usize) -> f64| -> f64 {
            in_use.iter().enumerate().skip(1).map(|(n, share)| of(n) * share).sum()
        };
        let (mut waiting, mut gave_up_per_s) = (0.0, 0.0);
        let room = self.room();
        for (j, share) in line.iter().enumerate().skip(1) {
            // Past the line it is full.
            waiting += j.min(room) as f64 * share;
            gave_up_per_s +=
                self.leaving_per_s.get(j - 1).or(self.leaving_per_s.last()).unwrap_or(&0.0) * share;
        }
        let past: f64 = line.iter().skip(room + 1).sum();
        let turned_away_per_s = self.turned_away_per_s.map_or(0.0, |per_s| past * per_s);
        let lost_waiting = gave_up_per_s * self.timeout_s.unwrap_or(0.0);
        let kept = Kept { per_s: mean(&|n| self.served.at(n)), waiting: (waiting - lost_waiting).max(0.0) };
        let at = AtPool {
            busy: mean(&|n| n as f64),
            waiting,
            p_all_busy,
            timeout_ratio: self.timeout_s.map(|_| gave_up_per_s / asked_per_s),
            rejected_ratio: self.bounded.then_some(turned_away_per_s / asked_per_s),
            kept: Some(kept),
        };
        (at, in_use)
    }
}
