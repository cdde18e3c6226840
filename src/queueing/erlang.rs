//! One station with Poisson arrivals: Erlang's formulas and their kin.
//!
//! Symbols: c servers or slots; λ arrivals per second; H mean hold (service) time, s; a = λH offered load, in servers; ρ = a/c.
//!
//! Sources: Erlang 1917, as in Kleinrock, "Queueing Systems" I, 1975, sections 3.5 and 3.6, and Bolch et al., "Queueing Networks and
//! Markov Chains", 2006, chapter 6; Palm 1957 and Garnett, Mandelbaum and Reiman, MSOM 4(3), 2002 (Erlang A); Allen, "Probability,
//! Statistics and Queueing Theory", 1990 (Allen-Cunneen).

use super::weights::normalized;

/// Weights below e^−50 of the largest end a sum over ever longer queues.
const TAIL_LN: f64 = 50.0;

/// A queue without end is cut here; past it the weights of any system that is not hopelessly overloaded are nothing.
const QUEUE_MAX: usize = 10_000_000;

/// Erlang B: share of arrivals that find all c servers busy where nobody waits. B(0) = 1, B(i) = aB/(i + aB).
pub fn erlang_b(servers: usize, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, i| offered * blocked / (i as f64 + offered * blocked))
}

/// Erlang C: share of arrivals that wait, B/(1 − ρ(1 − B)). `None` for a ≥ c: the queue grows without end.
pub fn erlang_c(servers: usize, offered: f64) -> Option<f64> {
    let rho = offered / servers as f64;
    (rho < 1.0).then(|| {
        let blocked = erlang_b(servers, offered);
        blocked / (1.0 - rho * (1.0 - blocked))
    })
}

/// A station with Poisson arrivals that is not overloaded: M/M/c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// Erlang C.
    pub p_wait: f64,
    /// Mean wait over all arrivals, s: C/(c/H − λ).
    pub wait_s: f64,
    /// c/H − λ, per second: those who wait wait longer than t with probability e^(−this·t).
    pub decay_per_s: f64,
}

impl Waiting {
    /// `None` where λH ≥ c.
    pub fn of(servers: usize, rate_per_s: f64, hold_s: f64) -> Option<Self> {
        let p_wait = erlang_c(servers, rate_per_s * hold_s)?;
        let decay_per_s = servers as f64 / hold_s - rate_per_s;
        Some(Self { p_wait, wait_s: p_wait / decay_per_s, decay_per_s })
    }

    /// P(W > t).
    pub fn p_longer_than(&self, t_s: f64) -> f64 {
        self.p_wait * (-self.decay_per_s * t_s).exp()
    }

    /// Allen and Cunneen's correction for arrivals and holds that are not exponential, an approximation: the wait is multiplied by
    /// (Ca² + Cs²)/2, with C² the squared coefficient of variation of the gaps between arrivals and of the holds; the decay is
    /// divided by it. Exact for M/G/1. C² = 0 for constant times, 1 for exponential ones. With both 0 nobody waits, and no decay is
    /// left to divide.
    pub fn allen_cunneen(self, arrivals_cv2: f64, holds_cv2: f64) -> Self {
        let factor = (arrivals_cv2 + holds_cv2) / 2.0;
        let p_wait = if factor == 0.0 { 0.0 } else { self.p_wait };
        Self {
            p_wait,
            wait_s: self.wait_s * factor,
            decay_per_s: self.decay_per_s / factor.max(f64::MIN_POSITIVE),
        }
    }
}

/// What a queue is that turns arrivals away or loses them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lossy {
    /// Share of arrivals that are not served: turned away, or gone before their turn.
    pub p_lost: f64,
    /// Share of arrivals that wait.
    pub p_wait: f64,
    /// Mean wait, s, over all arrivals that were let in, those who gave up included.
    pub wait_s: f64,
    /// Mean busy servers over c.
    pub utilization: f64,
    /// Mean number there, in service and waiting.
    pub jobs: f64,
}

/// M/M/c/K: at most K ≥ c there, the rest turned away.
pub fn bounded(servers: usize, room: usize, rate_per_s: f64, hold_s: f64) -> Lossy {
    let room = room.max(servers);
    let mut ln = vec![0.0];
    for n in 1..=room {
        ln.push(ln[n - 1] + (rate_per_s * hold_s / n.min(servers) as f64).ln());
    }
    let shares = normalized(&ln);
    let (jobs, busy, waiting) = means(&shares, servers);
    let let_in = rate_per_s * (1.0 - shares[room]);
    let p_wait = if room > servers { shares[servers..room].iter().sum() } else { 0.0 };
    Lossy { p_lost: shares[room], p_wait, wait_s: waiting / let_in, utilization: busy / servers as f64, jobs }
}

/// Erlang A, M/M/c+M: everybody who waits gives up at rate 1/`patience_s`. `None` for a patience so long, under an overload so large,
/// that the queue has no end in practice.
pub fn erlang_a(servers: usize, rate_per_s: f64, hold_s: f64, patience_s: f64) -> Option<Lossy> {
    let (mut ln, mut peak) = (vec![0.0f64], 0.0f64);
    for n in 1..QUEUE_MAX {
        let served_per_s = n.min(servers) as f64 / hold_s;
        let gone_per_s = n.saturating_sub(servers) as f64 / patience_s;
        let next = ln[n - 1] + (rate_per_s / (served_per_s + gone_per_s)).ln();
        ln.push(next);
        peak = peak.max(next);
        if n > servers && next < peak - TAIL_LN {
            let shares = normalized(&ln);
            let (jobs, busy, waiting) = means(&shares, servers);
            return Some(Lossy {
                p_lost: waiting / patience_s / rate_per_s,
                p_wait: shares[servers..].iter().sum(),
                wait_s: waiting / rate_per_s,
                utilization: busy / servers as f64,
                jobs,
            });
        }
    }
    None
}

/// Mean number there, busy and waiting.
fn means(shares: &[f64], servers: usize) -> (f64, f64, f64) {
    shares.iter().enumerate().fold((0.0, 0.0, 0.0), |(jobs, busy, waiting), (n, share)| {
        let served = n.min(servers);
        (jobs + share * n as f64, busy + share * served as f64, waiting + share * (n - served) as f64)
    })
}

#[cfg(test)]
mod tests;
