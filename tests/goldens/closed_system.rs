//! A closed system with one pool, solved exactly: N users who think for Z seconds, a pool of m that is held for H seconds.
//! The birth-death chain of the machine-repairman model (M/M/m//N) gives throughput, queue and the distribution a user meets.

/// Share of the queue's spread that is left when holds are nearly constant (Allen–Cunneen: (Ca² + Cs²)/2 with Cs near 0).
const SPREAD: f64 = 0.25;
/// What the wire and the handler add around the hold, seconds.
const OVERHEAD_S: f64 = 0.0008;

#[derive(Clone, Copy)]
pub(crate) struct System {
    pub(crate) pool: usize,
    pub(crate) hold_s: f64,
    pub(crate) think_s: f64,
}

/// The state of the system at one number of users.
pub(crate) struct Steady {
    pub(crate) throughput_per_s: f64,
    pub(crate) in_use: f64,
    pub(crate) waiting: f64,
    pub(crate) full_ratio: f64,
    /// Distribution of the number in the system that an arriving user meets.
    met: Vec<f64>,
    met_mean: f64,
    system: System,
}

impl System {
    pub(crate) fn steady(self, users: usize) -> Steady {
        let p = self.chain(users);
        let mean =
            |f: &dyn Fn(usize) -> f64| p.iter().enumerate().map(|(n, share)| share * f(n)).sum::<f64>();
        let in_use = mean(&|n| n.min(self.pool) as f64);
        let met = self.chain(users.saturating_sub(1));
        let met_mean = met.iter().enumerate().map(|(n, p)| n as f64 * p).sum();
        Steady {
            throughput_per_s: in_use / self.hold_s,
            in_use,
            waiting: mean(&|n| n.saturating_sub(self.pool) as f64),
            full_ratio: p.iter().skip(self.pool).sum(),
            met,
            met_mean,
            system: self,
        }
    }

    /// Probability of n users at the pool, by the ratio of birth to death rate, in logarithms so that nothing overflows.
    fn chain(self, users: usize) -> Vec<f64> {
        let mut log = vec![0.0f64];
        for n in 1..=users {
            let birth = (users - n + 1) as f64 / self.think_s;
            let death = n.min(self.pool) as f64 / self.hold_s;
            log.push(log[n - 1] + (birth / death).ln());
        }
        let top = log.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = log.iter().map(|l| (l - top).exp()).sum();
        log.iter().map(|l| (l - top).exp() / sum).collect()
    }
}

impl Steady {
    /// Response time in ms at quantile `q`.
    pub(crate) fn response_ms(&self, q: f64) -> f64 {
        let mut below = 0.0;
        let mut at = self.met.len() - 1;
        for (n, p) in self.met.iter().enumerate() {
            below += p;
            if below >= q {
                at = n;
                break;
            }
        }
        // Interpolating inside the state keeps the curve smooth where the chain is a staircase.
        let state = at as f64 + 1.0 - ((below - q) / self.met[at].max(1e-12)).clamp(0.0, 1.0);
        let queued = (self.met_mean + (state - self.met_mean) * SPREAD - self.system.pool as f64).max(0.0);
        let jitter = 0.4 * (1.0 / (1.0 - q.min(0.99999))).ln();
        1000.0 * (self.system.hold_s + OVERHEAD_S + queued * self.system.hold_s / self.system.pool as f64)
            + jitter
    }

    pub(crate) fn wait_ms(&self) -> f64 {
        1000.0 * self.waiting / self.throughput_per_s
    }
}
