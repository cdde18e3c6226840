//! How many replicas there should be: target tracking of their CPU, as a cloud's autoscaler does it. In every period the mean utilization u of
//! the n replicas is held against the target t; n u / t of them, rounded up, would be at the target or just below.
//!
//! A change takes time to show, so none follows another too soon: out only a cooldown after the last change outwards, in only a (longer) cooldown
//! after the last change of either kind. Where the load jumps twice, the second jump is met a cooldown later, which is what such scaling is like.

use std::path::Path;
use std::time::{Duration, Instant};

use super::roll::Roll;
use crate::clock;
use crate::profile;

/// When replicas are started and stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Policy {
    min: u32,
    max: u32,
    target_ratio: f64,
    out_cooldown: Duration,
    in_cooldown: Duration,
    /// Between two looks.
    pub(super) period: Duration,
}

impl Policy {
    /// None where the number of replicas is fixed.
    pub(super) fn of(dials: &profile::Autoscaler) -> Option<Self> {
        let ms = Duration::from_millis;
        (dials.max_replicas > 0).then(|| Self {
            min: dials.min_replicas,
            max: dials.max_replicas,
            target_ratio: dials.target_ratio,
            out_cooldown: ms(dials.out_cooldown_ms),
            in_cooldown: ms(dials.in_cooldown_ms),
            period: ms(dials.period_ms),
        })
    }

    pub(super) fn max(&self) -> u32 {
        self.max
    }

    /// The nearest number that there may be.
    pub(super) fn bounded(&self, replicas: u32) -> u32 {
        replicas.clamp(self.min, self.max)
    }
}

pub(super) struct Autoscaler {
    policy: Policy,
    out_at: Option<Instant>,
    changed_at: Option<Instant>,
}

impl Autoscaler {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, out_at: None, changed_at: None }
    }

    /// How many there should be from now on, of which there are `replicas` that are utilized so much on average.
    pub(super) fn decide(&mut self, replicas: u32, utilization: f64, now: Instant) -> u32 {
        // A load that is exactly at the target stays there, whatever the last digit of the division is.
        let exact = f64::from(replicas) * utilization / self.policy.target_ratio;
        let wanted = self.policy.bounded((exact - 1e-9).ceil().max(0.0) as u32);
        let passed = |since: Option<Instant>, cooldown| since.is_none_or(|at| now - at >= cooldown);
        if wanted > replicas && passed(self.out_at, self.policy.out_cooldown) {
            (self.out_at, self.changed_at) = (Some(now), Some(now));
            wanted
        } else if wanted < replicas && passed(self.changed_at, self.policy.in_cooldown) {
            self.changed_at = Some(now);
            wanted
        } else {
            replicas
        }
    }
}

/// The autoscaler at work: looks in every period, and says when the number is to be another.
pub(super) struct Scaling {
    at_work: Option<(Autoscaler, Duration)>,
    /// Of one replica.
    cores: f64,
    /// When it last looked, and the CPU time that had been used then, in seconds.
    before: Option<(Instant, f64)>,
}

impl Scaling {
    /// Without a policy it never says anything.
    pub(super) fn by(policy: Option<Policy>, cores: f64) -> Self {
        let at_work = policy.map(|policy| (Autoscaler::new(policy), policy.period));
        Self { at_work, cores, before: None }
    }

    /// Waits until there should be another number of replicas, and tells it. Nothing is lost where this is dropped while it waits.
    pub(super) async fn next(&mut self, roll: &Roll, directory: &Path) -> u32 {
        let Some((scaler, period)) = &mut self.at_work else { return std::future::pending().await };
        loop {
            let last = self.before.map_or_else(clock::now, |(at, _)| at);
            if self.before.is_none() {
                self.before = Some((last, roll.cpu_s().0));
            }
            tokio::time::sleep_until((last + *period).into()).await;
            roll.look(directory).await;
            let (now, (used_s, living)) = (clock::now(), roll.cpu_s());
            let before = self.before.replace((now, used_s));
            let Some((then, used_before_s)) = before.filter(|_| living > 0) else { continue };
            // What is started or ended counts as it will be, or a change would be made twice.
            let desired = roll.desired();
            let offered_s = (now - then).as_secs_f64() * self.cores * f64::from(desired);
            let wanted = scaler.decide(desired, (used_s - used_before_s) / offered_s, now);
            if wanted != desired {
                roll.scaled(wanted > desired);
                return wanted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::proptest;

    use super::{Autoscaler, Policy};
    use crate::clock;

    const S: Duration = Duration::from_secs(1);

    fn policy(min: u32, max: u32) -> Policy {
        let (out_cooldown, in_cooldown) = (60 * S, 180 * S);
        Policy { min, max, target_ratio: 0.7, out_cooldown, in_cooldown, period: 10 * S }
    }

    #[test]
    fn it_follows_the_load_and_waits_between_two_steps() {
        let (mut scaler, start) = (Autoscaler::new(policy(2, 20)), clock::now());
        let mut at =
            |seconds: u32, replicas, utilization| scaler.decide(replicas, utilization, start + seconds * S);
        assert_eq!(at(0, 4, 0.7), 4, "at its target");
        assert_eq!(at(10, 4, 0.95), 6, "4 x 0.95 / 0.7 = 5.4");
        assert_eq!(at(20, 6, 1.0), 6, "60 s have not passed");
        assert_eq!(at(70, 6, 1.0), 9);
        assert_eq!(at(200, 9, 0.2), 9, "180 s have not passed since it changed");
        assert_eq!(at(250, 9, 0.2), 3);
        assert_eq!(at(260, 3, 0.9), 4, "outwards the change inwards is not waited for");
        assert_eq!(at(430, 4, 0.0), 4);
        assert_eq!(at(440, 4, 0.0), 2, "never below the least");
        assert_eq!(at(900, 15, 1.0), 20, "never above the most");
    }

    proptest! {
        #[test]
        fn what_it_wants_would_be_at_the_target_or_just_below(replicas in 1_u32..50, utilization in 0.0_f64..1.0) {
            let wanted = Autoscaler::new(policy(1, 1_000)).decide(replicas, utilization, clock::now());
            let load = f64::from(replicas) * utilization;
            assert!(load / f64::from(wanted) <= 0.7 + 1e-6);
            assert!(wanted == 1 || load / f64::from(wanted - 1) > 0.7 - 1e-6, "one less would do");
        }
    }
}
