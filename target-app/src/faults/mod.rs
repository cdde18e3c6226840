//! What goes wrong on purpose: faults that are switched on from outside while a load runs, so that it can be seen how the app and its users
//! come out of them. Nothing here is on until somebody asks for it.

mod link;
mod listener;
mod order;
mod outage;

pub(crate) use self::link::{obey, tell};
pub(crate) use self::listener::{Subjects, Telling, serve};
pub(crate) use self::order::{Order, Resource};
pub(crate) use self::outage::Outage;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::clock;
use crate::lock::lock;
use crate::routes::Problem;

/// The faults of this process.
pub(crate) struct Faults {
    /// Whether there is anything to look up.
    on: AtomicBool,
    state: Mutex<State>,
    /// What the process may have of heap: more than that is not leaked, or a leak would be the end of the machine and not of the process.
    leak_max_bytes: u64,
    ordered: Notify,
    drops: watch::Sender<u64>,
    /// All there were, one after the other.
    outages: watch::Sender<Vec<Outage>>,
}

#[derive(Default)]
struct State {
    stalled_until: Option<Instant>,
    errors: Option<Errors>,
    slow: Vec<Slow>,
    leaked: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Errors {
    ratio: f64,
    /// Of the next error, what is due already: with it the share is exact.
    due: f64,
    until: Instant,
}

#[derive(Clone, Copy)]
struct Slow {
    resource: Resource,
    factor: f64,
    until: Instant,
}

impl Faults {
    /// Of a process whose heap may be so large.
    pub(crate) fn new(leak_max_bytes: u64) -> Self {
        Self {
            on: AtomicBool::new(false),
            state: Mutex::default(),
            leak_max_bytes,
            ordered: Notify::new(),
            drops: watch::Sender::new(0),
            outages: watch::Sender::default(),
        }
    }

    /// Does as ordered from now on, which is `at_ms` for all processes that are told the same order. An order takes the place of an earlier one of its
    /// kind; memory that is leaked adds up.
    pub(crate) fn order(&self, order: &Order, now: Instant, at_ms: u64) {
        let mut state = self.state();
        let until = |for_ms: u64| now + Duration::from_millis(for_ms);
        match *order {
            Order::Stall { for_ms } => state.stalled_until = Some(until(for_ms)),
            Order::Errors { ratio, for_ms } => {
                state.errors = Some(Errors { ratio, due: 0.0, until: until(for_ms) });
            }
            Order::Slow { resource, factor, for_ms } => {
                state.slow.retain(|slow| slow.resource != resource);
                state.slow.push(Slow { resource, factor, until: until(for_ms) });
            }
            // Written to, so that it is memory and not only address space.
            Order::Leak { bytes } => {
                let room = self.leak_max_bytes.saturating_sub(state.leaked_bytes() as u64);
                state.leaked.push(vec![1; usize::try_from(bytes.min(room)).unwrap_or(0)]);
            }
            Order::DropConnections => self.drops.send_modify(|number| *number += 1),
            Order::KillPrimary { .. } => {}
            Order::None => *state = State::default(),
        }
        self.on.store(!state.is_idle(), Ordering::Relaxed);
        drop(state);
        self.recall(order.outage(at_ms).as_slice());
        self.ordered.notify_waiters();
    }

    /// Waits for the end of a stall. A problem in place of an answer, if it is the turn of this request to fail.
    pub(crate) async fn befall(&self) -> Result<(), Problem> {
        if !self.on.load(Ordering::Relaxed) {
            return Ok(());
        }
        loop {
            // Made before the look, so that no order goes unheard in between.
            let ordered = self.ordered.notified();
            let Some(rest) = self.stalls_for(clock::now()) else { break };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = ordered => {}
            }
        }
        if self.fails(clock::now()) {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "fault_injected",
                "this request fails because it was ordered to",
            ));
        }
        Ok(())
    }

    /// How many times as long a resource takes for everything.
    pub(crate) fn slows(&self, resource: Resource, now: Instant) -> f64 {
        if !self.on.load(Ordering::Relaxed) {
            return 1.0;
        }
        self.pace(resource, now).0
    }

    /// How many times as long a resource takes for everything, and until when.
    pub(crate) fn pace(&self, resource: Resource, now: Instant) -> (f64, Instant) {
        let state = self.state();
        let slow = state.slow.iter().find(|slow| slow.resource == resource && now < slow.until);
        slow.map_or((1.0, now), |slow| (slow.factor, slow.until))
    }

    /// Waits for the next order from now on, asked for before it is waited for.
    pub(crate) fn ordered(&self) -> impl Future<Output = ()> {
        self.ordered.notified()
    }

    /// Changes each time that all client connections are to be dropped.
    pub(crate) fn drops(&self) -> watch::Receiver<u64> {
        self.drops.subscribe()
    }

    /// What has befallen the servers of the store, and will.
    pub(crate) fn outages(&self) -> watch::Receiver<Vec<Outage>> {
        self.outages.subscribe()
    }

    /// What befell them, as somebody else was told: before this process was there, or past it.
    pub(crate) fn recall(&self, known: &[Outage]) {
        self.outages.send_if_modified(|outages| {
            let before = outages.len();
            for outage in known {
                outage::add(outages, *outage);
            }
            outages.len() > before
        });
    }

    /// What is on, for who ordered it.
    pub(crate) fn told(&self, now: Instant, now_ms: u64) -> Value {
        let state = self.state();
        let left_ms = |until: Instant| until.saturating_duration_since(now).as_millis() as u64;
        let errors = state.errors.filter(|errors| now < errors.until);
        let slow = state.slow.iter().filter(|slow| now < slow.until);
        json!({
            "stall_left_ms": state.stalled_until.map_or(0, left_ms),
            "errors": errors.map(|errors| json!({"ratio": errors.ratio, "left_ms": left_ms(errors.until)})),
            "slow": slow.map(|slow| json!({"resource": slow.resource, "factor": slow.factor, "left_ms": left_ms(slow.until)}))
                .collect::<Vec<_>>(),
            "leaked_bytes": state.leaked_bytes(),
            "killed_primaries": outage::left_ms(&self.outages.borrow(), now_ms).iter()
                .map(|(shard, left_ms)| json!({"shard": shard, "left_ms": left_ms})).collect::<Vec<_>>(),
        })
    }

    fn stalls_for(&self, now: Instant) -> Option<Duration> {
        let rest = self.state().stalled_until?.saturating_duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }

    fn fails(&self, now: Instant) -> bool {
        let mut state = self.state();
        let Some(errors) = state.errors.as_mut().filter(|errors| now < errors.until) else { return false };
        errors.due += errors.ratio;
        let fails = errors.due >= 1.0;
        errors.due -= f64::from(u8::from(fails));
        fails
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn leaked_bytes(&self) -> usize {
        self.leaked.iter().map(Vec::len).sum()
    }

    fn is_idle(&self) -> bool {
        self.stalled_until.is_none()
            && self.errors.is_none()
            && self.slow.is_empty()
            && self.leaked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Faults, Order, Resource};
    use crate::clock;

    #[test]
    fn the_share_that_fails_is_exact_and_ends() {
        let (faults, now) = (Faults::new(1_200), clock::now());
        faults.order(&Order::Errors { ratio: 0.2, for_ms: 1_000 }, now, 0);
        let failed =
            |after_ms| (0..1_000).filter(|_| faults.fails(now + Duration::from_millis(after_ms))).count();
        assert!((199..=200).contains(&failed(0)));
        assert_eq!(failed(1_000), 0);
        faults.order(&Order::Errors { ratio: 1.0, for_ms: 1_000 }, now, 0);
        assert_eq!(failed(0), 1_000);
    }

    #[test]
    fn a_resource_is_slow_by_the_last_order_until_its_end() {
        let (faults, now) = (Faults::new(1_200), clock::now());
        let slows = |after_ms| {
            [Resource::Mongodb, Resource::Cpu]
                .map(|of| faults.slows(of, now + Duration::from_millis(after_ms)))
        };
        assert_eq!(slows(0), [1.0, 1.0]);
        for factor in [3.0, 5.0] {
            faults.order(&Order::Slow { resource: Resource::Mongodb, factor, for_ms: 500 }, now, 0);
        }
        faults.order(&Order::Slow { resource: Resource::Cpu, factor: 2.0, for_ms: 100 }, now, 0);
        assert_eq!((slows(0), slows(100), slows(500)), ([5.0, 2.0], [5.0, 1.0], [1.0, 1.0]));
    }

    #[test]
    fn none_ends_all_of_it() {
        let (faults, now) = (Faults::new(1_200), clock::now());
        faults.order(&Order::Stall { for_ms: 60_000 }, now, 0);
        faults.order(&Order::Leak { bytes: 1_000 }, now, 0);
        faults.order(&Order::Leak { bytes: 500 }, now, 0);
        assert_eq!(faults.told(now, 0)["leaked_bytes"], 1_200, "no more than there may be");
        assert_eq!(faults.told(now, 0)["stall_left_ms"], 60_000);
        faults.order(&Order::None, now, 0);
        insta::assert_snapshot!(faults.told(now, 0), @r#"{"errors":null,"killed_primaries":[],"leaked_bytes":0,"slow":[],"stall_left_ms":0}"#);
    }
}
