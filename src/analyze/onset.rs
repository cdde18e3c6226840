//! The load at which a resource begins to make work wait. Levels are a few points apart from each other, so it is read off the shape of
//! the wait between them: nothing, then a straight line.

use super::levels::wait_per_request_s;
use super::next::{Demand, Unit};
use super::saturate::saturated;
use crate::fit::line::hinge;
use crate::record::summary::Level;
use crate::scenario::plan::LoadUnit;

/// Levels further than this factor above the first saturated one are left out: time-outs and refusals bend what lies there.
const ARM: f64 = 2.0;
/// Likewise levels with more errors than this.
const ERRORS_MAX: f64 = 0.05;

/// In the unit of the levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    pub at: f64,
    /// The levels on either side of it.
    pub interval: [f64; 2],
}

/// Onset of the queue at `name`; `levels` in order of load. `None` when it is saturated at no level, or already at the lowest.
///
/// In a closed system with N users of which W·X wait, the other N − W·X are all that the saturated resource lets act: the wait grows along
/// a straight line that meets zero at N*. The hinge is fitted to two saturated levels or more; a single one gives N − W·X directly.
/// Where no wait is known the onset is the load at which the demand seen below reaches the limit.
pub fn onset(levels: &[Level], name: &str, unit: &Unit) -> Option<Onset> {
    let base = levels.first()?;
    let is_saturated = |level: &&Level| {
        level.resources.get(name).is_some_and(|resource| saturated(resource, level, Some(base)))
    };
    let first = levels.iter().position(|level| is_saturated(&level))?;
    let (below, at) = (levels.get(first.checked_sub(1)?)?, &levels[first]);
    let near: Vec<&Level> = levels
        .iter()
        .filter(|level| level.level <= at.level * ARM && level.error_ratio <= ERRORS_MAX)
        .collect();
    let waits: Vec<(f64, f64)> = near
        .iter()
        .filter_map(|level| Some((level.level, wait_per_request_s(level, level.resources.get(name)?)?)))
        .collect();
    let full = near.iter().filter(|level| is_saturated(level)).count();
    let found = if at.resources[name].kind == "memory" {
        None
    } else if waits.len() == near.len() && waits.len() >= 3 && full >= 2 {
        hinge(&waits).map(|hinge| hinge.onset)
    } else if let (Some(&(level, wait_s)), LoadUnit::Users) = (waits.get(first), unit.of) {
        Some(level - wait_s * at.throughput_per_s)
    } else {
        let unsaturated: Vec<&Level> = levels[..first].iter().collect();
        Demand::of(&unsaturated, name, unit).and_then(|demand| demand.wall(base, unit))
    };
    // A fit may lie outside the levels that it has to lie between when they are noisy or few: the middle is then all there is to say.
    let found = found.filter(|&load| load > base.level && load <= at.level * 1.05);
    let load = found.map_or((below.level * at.level).sqrt(), |load| load.min(at.level));
    let before = levels.iter().rfind(|level| level.level < load).map_or(base.level, |level| level.level);
    let after = levels.iter().find(|level| level.level >= load).map_or(at.level, |level| level.level);
    Some(Onset { at: load, interval: [before, after] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::levels::levels;
    use crate::analyze::testbed::{Simulated, unit_users};
    use crate::search::closed_system::Pool;

    /// The levels a search visits, in its order, and N* = c·(Z + S)/S.
    #[test]
    fn a_pool_s_onset_is_its_saturation_point() {
        let searches: [(usize, f64, &[u64]); 4] = [
            (10, 510.0, &[100, 200, 400, 800, 566, 476, 519, 544]),
            (10, 510.0, &[100, 200, 400, 800, 566, 476, 519]),
            (20, 1020.0, &[100, 200, 400, 800, 1600, 1131, 951, 1037, 1083]),
            (7, 357.0, &[100, 200, 400, 283, 336, 367]),
        ];
        for (size, truth, loads) in searches {
            let simulated = Simulated::run(&Pool { size, ..Pool::default() }, loads, f64::MAX);
            let found = onset(&levels(&simulated.input()), "mongodb.pool", &unit_users()).unwrap();
            assert!((found.at / truth - 1.0).abs() <= 0.05, "pool of {size}: {found:?} for {truth}");
            assert!(found.interval[0] <= found.at && found.at <= found.interval[1]);
        }
    }

    #[test]
    fn one_saturated_level_is_enough() {
        let simulated = Simulated::run(&Pool::default(), &[100, 200, 400, 800], f64::MAX);
        let found = onset(&levels(&simulated.input()), "mongodb.pool", &unit_users()).unwrap();
        assert!((found.at / 510.0 - 1.0).abs() <= 0.05, "{found:?}");
        assert_eq!(found.interval, [400.0, 800.0]);
    }

    #[test]
    fn a_cpu_without_a_queue_is_placed_by_its_demand() {
        // 4 cores of 8 ms: 500 requests a second, N* = 500·1.028 = 514.
        let system = Pool { size: 1000, front_servers: 4, front_s: 0.008, ..Pool::default() };
        let simulated = Simulated::run(&system, &[100, 200, 400, 800, 566], f64::MAX);
        let found = onset(&levels(&simulated.input()), "app.cpu", &unit_users()).unwrap();
        assert!((found.at / 514.0 - 1.0).abs() <= 0.05, "{found:?}");
    }

    #[test]
    fn no_queue_no_onset() {
        let simulated = Simulated::run(&Pool::default(), &[50, 100, 200], f64::MAX);
        assert_eq!(onset(&levels(&simulated.input()), "mongodb.pool", &unit_users()), None);
        let all_full = Simulated::run(&Pool::default(), &[800, 1000], f64::MAX);
        assert_eq!(onset(&levels(&all_full.input()), "mongodb.pool", &unit_users()), None);
    }
}
