//! The CPU of the app: how much each request costs, and how much there is.
//!
//! Cost: every request is charged its dialled CPU time as a whole. What HTTP, the store and the kernel already took of it
//! is measured, and only the rest is spun, so that CPU used = requests x dial (as long as the dial is above what the app
//! costs anyway).
//!
//! Quota: a budget refilled at `cores` CPU-seconds a second and drawn down by what this process really uses, as the
//! kernel's CFS quota is. A request that finds it overdrawn waits, in line.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus::Histogram;
use tokio::sync::Semaphore;

use crate::clock;
use crate::lock::lock;
use crate::store::ScansCpu;

/// Unused budget is kept for this long at most, the period of the kernel's quota. It must be longer than the timer that
/// waits for a refill is ever late, or a busy machine would lose part of the quota.
const BURST_S: f64 = 0.100;
/// Cost that is not yet worked off is kept to this many requests' worth in either direction.
const OWED_MAX_REQUESTS: f64 = 2.0;
/// Arithmetic between two looks at the thread's clock: about two microseconds.
const STEPS_PER_LOOK: u32 = 1_000;

/// The CPU of this process, shared by all requests.
pub(crate) struct Cpu {
    cores: f64,
    /// One permit a core; waiters are served first come first served.
    turns: Semaphore,
    budget: Mutex<Budget>,
    pending: AtomicUsize,
    wait_time: Histogram,
    /// What this process uses in place of another one.
    elsewhere: ScansCpu,
}

/// What the CPU has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) used_s: f64,
    /// What the process has used besides, for what the app of the shop has another machine.
    pub(crate) elsewhere_s: f64,
    pub(crate) cores: f64,
    /// Requests that wait for the CPU at this instant.
    pub(crate) pending: usize,
}

impl Cpu {
    /// A CPU of so many cores. `wait_time` gets the time each request waited for its turn, in seconds.
    pub(crate) fn new(cores: f64, wait_time: Histogram, elsewhere: ScansCpu) -> Self {
        let budget = Mutex::new(Budget::starting(clock::now(), clock::process_cpu()));
        let turns = Semaphore::new(cores.ceil() as usize);
        Self { cores, turns, budget, pending: AtomicUsize::new(0), wait_time, elsewhere }
    }

    /// Works off a request's cost, in CPU-seconds, once it is its turn and there is budget.
    pub(crate) async fn work(&self, cost_s: f64) {
        let asked = clock::now();
        if cost_s == 0.0 && self.overdraft(asked).is_zero() && self.turns.available_permits() > 0 {
            self.wait_time.observe(0.0);
            return;
        }
        let turn = {
            let _waiting = Waiting::counted(&self.pending);
            // The semaphore is never closed; were it, the request would only go unpaced.
            let turn = self.turns.acquire().await;
            // Lets the requests that have already arrived come this far, where they are counted as waiting.
            tokio::task::yield_now().await;
            loop {
                let overdraft = self.overdraft(clock::now());
                if overdraft.is_zero() {
                    break turn;
                }
                tokio::time::sleep(overdraft).await;
            }
        };
        self.wait_time.observe(clock::now().duration_since(asked).as_secs_f64());
        let rest = self.budget().charge(cost_s, self.used());
        spin(rest);
        drop(turn);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            used_s: self.used().as_secs_f64(),
            elsewhere_s: self.elsewhere.so_far().as_secs_f64(),
            cores: self.cores,
            pending: self.pending.load(Ordering::Relaxed),
        }
    }

    fn overdraft(&self, now: Instant) -> Duration {
        self.budget().overdraft(now, self.used(), self.cores)
    }

    /// What the app has used. While a scan lasts it seems to be the app's; what was drawn for it by then is not drawn again.
    fn used(&self) -> Duration {
        clock::process_cpu().saturating_sub(self.elsewhere.so_far())
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        lock(&self.budget)
    }
}

/// The arithmetic of cost and quota; all in CPU-seconds.
#[derive(Debug)]
struct Budget {
    refilled_at: Instant,
    used_until: Duration,
    /// Below zero when more was used than refilled.
    balance_s: f64,
    charged_until: Duration,
    /// Charged but not yet used.
    owed_s: f64,
}

impl Budget {
    fn starting(now: Instant, used: Duration) -> Self {
        Self { refilled_at: now, used_until: used, balance_s: 0.0, charged_until: used, owed_s: 0.0 }
    }

    /// How long it takes until the budget is no longer overdrawn; zero when it is not.
    fn overdraft(&mut self, now: Instant, used: Duration, cores: f64) -> Duration {
        let refill_s = now.saturating_duration_since(self.refilled_at).as_secs_f64() * cores;
        let drawn_s = used.saturating_sub(self.used_until).as_secs_f64();
        self.refilled_at = self.refilled_at.max(now);
        self.used_until = self.used_until.max(used);
        self.balance_s = (self.balance_s + refill_s - drawn_s).min(BURST_S * cores);
        Duration::from_secs_f64((-self.balance_s / cores).max(0.0))
    }

    /// Adds a request's cost, takes off what has been used since the last one, and returns what is left to spin.
    fn charge(&mut self, cost_s: f64, used: Duration) -> Duration {
        let used_s = used.saturating_sub(self.charged_until).as_secs_f64();
        self.charged_until = self.charged_until.max(used);
        let bound_s = OWED_MAX_REQUESTS * cost_s;
        self.owed_s = (self.owed_s + cost_s - used_s).clamp(-bound_s, bound_s);
        Duration::from_secs_f64(self.owed_s.max(0.0))
    }
}

/// A request counted as waiting until this is dropped, however its wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn counted(pending: &'a AtomicUsize) -> Self {
        pending.fetch_add(1, Ordering::Relaxed);
        Self(pending)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Uses so much CPU time of this thread.
fn spin(cpu: Duration) {
    if cpu.is_zero() {
        return;
    }
    let end = clock::thread_cpu() + cpu;
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    while clock::thread_cpu() < end {
        for _ in 0..STEPS_PER_LOOK {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        black_box(x);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Budget, spin};
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_quota_below_one_core_makes_requests_wait_for_the_refill() {
        let start = clock::now();
        let mut budget = Budget::starting(start, Duration::ZERO);
        // 4 ms used in 4 ms of wall time at half a core: 2 ms short, which take 4 ms to come in.
        assert_eq!(budget.overdraft(start + 4 * MS, 4 * MS, 0.5).as_micros(), 4_000);
        assert_eq!(budget.overdraft(start + 6 * MS, 4 * MS, 0.5).as_micros(), 2_000);
        assert!(budget.overdraft(start + 8 * MS, 4 * MS, 0.5).is_zero());
    }

    #[test]
    fn an_idle_second_buys_no_more_than_a_burst() {
        let start = clock::now();
        let mut budget = Budget::starting(start, Duration::ZERO);
        assert!(budget.overdraft(start + 1000 * MS, Duration::ZERO, 0.5).is_zero());
        // The burst of 100 ms holds 50 ms of CPU; 100 ms used in 100 ms leaves nothing of it, neither more nor less.
        assert!(budget.overdraft(start + 1100 * MS, 100 * MS, 0.5).is_zero());
        assert_eq!(budget.overdraft(start + 1104 * MS, 104 * MS, 0.5).as_micros(), 4_000);
    }

    #[test]
    fn with_work_always_waiting_the_whole_quota_is_used_and_no_more() {
        for (cores, late) in [(0.1, MS), (0.4, 5 * MS), (0.9, 40 * MS)] {
            let start = clock::now();
            let mut budget = Budget::starting(start, Duration::ZERO);
            let (mut elapsed, mut used) = (Duration::ZERO, Duration::ZERO);
            while elapsed < Duration::from_secs(60) {
                let overdraft = budget.overdraft(start + elapsed, used, cores);
                if overdraft.is_zero() {
                    used += Duration::from_micros(250);
                    elapsed += Duration::from_micros(250);
                } else {
                    elapsed += overdraft + late;
                }
            }
            let utilization = used.as_secs_f64() / (cores * elapsed.as_secs_f64());
            assert!((0.99..1.01).contains(&utilization), "{cores} cores, timer {late:?} late: {utilization}");
        }
    }

    #[test]
    fn the_spin_is_the_cost_less_what_the_app_used_itself() {
        let mut budget = Budget::starting(clock::now(), Duration::ZERO);
        let mut used = Duration::ZERO;
        let mut requests = 0.0;
        for _ in 0..1000 {
            let rest = budget.charge(250e-6, used);
            // Each request also costs the app 40 us that nobody spins.
            used += rest + Duration::from_micros(40);
            requests += 1.0;
        }
        assert!((used.as_secs_f64() / (requests * 250e-6) - 1.0).abs() < 0.01, "{used:?}");
    }

    #[test]
    fn what_was_used_between_requests_is_forgiven_but_for_a_little() {
        let mut budget = Budget::starting(clock::now(), Duration::ZERO);
        assert!(budget.charge(250e-6, Duration::from_secs(1)).is_zero());
        assert!(budget.charge(250e-6, Duration::from_secs(1)).is_zero());
        assert!(budget.charge(250e-6, Duration::from_secs(1)).is_zero());
        assert!(!budget.charge(250e-6, Duration::from_secs(1)).is_zero());
    }

    #[test]
    fn a_spin_uses_what_it_was_told() {
        let before = clock::thread_cpu();
        spin(Duration::from_millis(5));
        let used = clock::thread_cpu() - before;
        assert!(used >= Duration::from_millis(5) && used < Duration::from_millis(7), "{used:?}");
    }
}
