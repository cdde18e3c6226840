//! How long an operation holds its connection: the dialled mean, spread by the dialled distribution.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock;
use crate::demand::Operation;
use crate::faults::{Faults, Resource};
use crate::profile::{Dials, Distribution};

/// Draws holds; the same seed gives the same sequence.
pub(crate) struct ServiceTime {
    dials: Dials,
    faults: Arc<Faults>,
    random: Mutex<StdRng>,
}

impl ServiceTime {
    pub(crate) fn new(dials: &Dials, faults: Arc<Faults>) -> Self {
        Self { dials: dials.clone(), faults, random: Mutex::new(StdRng::seed_from_u64(dials.store.seed)) }
    }

    /// The hold intended for the next operation of this kind, which went through so many documents.
    pub(crate) fn draw(&self, operation: Operation, scanned: u64) -> Duration {
        let slow = self.faults.slows(Resource::Mongodb, clock::now());
        let scan_s = scanned as f64 * self.dials.mongodb.scan_us_per_document / 1e6 * slow;
        let mean_s = self.dials.hold_s(operation) * slow;
        let mongodb = &self.dials.mongodb;
        let drawn_s = match mongodb.service_time_distribution {
            Distribution::Constant => mean_s,
            Distribution::Exponential => mean_s * -self.uniform().ln(),
            Distribution::Lognormal => mean_s * self.lognormal(mongodb.service_time_cv_ratio),
        };
        Duration::from_secs_f64(drawn_s + scan_s)
    }

    /// Lognormal with mean 1 and this standard deviation: sigma^2 = ln(1 + cv^2), mu = -sigma^2 / 2.
    fn lognormal(&self, cv_ratio: f64) -> f64 {
        let variance = (cv_ratio * cv_ratio).ln_1p();
        // Box-Muller: two uniforms give a standard normal.
        let normal = (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos();
        (variance.sqrt() * normal - variance / 2.0).exp()
    }

    /// Uniform on (0, 1]: its logarithm is finite.
    fn uniform(&self) -> f64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        1.0 - random.random::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::ServiceTime;
    use crate::demand::Operation;
    use crate::faults::Faults;
    use crate::profile::Profile;

    fn draws(dials: &[&str]) -> (f64, f64) {
        let profile = Profile::named("baseline").unwrap().with_dials(dials).unwrap();
        let service = ServiceTime::new(profile.dials(), Arc::new(Faults::new(0)));
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| service.draw(Operation::ProductById, 0).as_secs_f64()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        (mean, variance.sqrt() / mean)
    }

    fn near(value: f64, wanted: f64) -> bool {
        (value / wanted - 1.0).abs() < 0.02
    }

    #[test]
    fn every_distribution_keeps_the_dialled_mean() {
        let (mean, cv) = draws(&[]);
        assert!((mean - 0.02).abs() < 1e-9 && cv < 1e-9);
        let (mean, cv) = draws(&["mongodb.service_time_distribution=exponential"]);
        assert!(near(mean, 0.02) && near(cv, 1.0), "{mean} {cv}");
        let lognormal = "mongodb.service_time_distribution=lognormal";
        let (mean, cv) = draws(&[lognormal, "mongodb.service_time_cv_ratio=0.7"]);
        assert!(near(mean, 0.02) && near(cv, 0.7), "{mean} {cv}");
        let (mean, _) = draws(&["mongodb.service_time_factor.product_by_id=3"]);
        assert!(near(mean, 0.06));
    }

    #[test]
    fn every_document_gone_through_adds_its_time() {
        let profile = Profile::named("unindexed").unwrap();
        let service = ServiceTime::new(profile.dials(), Arc::new(Faults::new(0)));
        assert_eq!(service.draw(Operation::ProductsList, 1_000).as_micros(), 25_000);
        assert_eq!(service.draw(Operation::ProductsList, 0).as_micros(), 20_000);
    }
}
