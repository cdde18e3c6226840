//! The load at which a resource begins to make work wait. Levels are a few points apart from each other, so it is read off the shape of
//! the wait between them: nothing, then a straight line.

use super::levels::wait_per_request_s;
use super::saturate::saturated;
use super::wall::{Demand, Unit, unsaturated};
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
    pub bracket: [f64; 2],
    /// Read off a fit; otherwise all that is known is the bracket.
    pub fitted: bool,
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
    let near: Vec<&Level> = near(levels, at).filter(|level| level.resources.contains_key(name)).collect();
    let waits: Vec<(f64, f64)> = near
        .iter()
        .filter_map(|level| Some((level.level, wait_per_request_s(level, level.resources.get(name)?)?)))
        .collect();
    let full = near.iter().filter(|level| is_saturated(level)).count();
    let first_wait_s = at.resources.get(name).and_then(|resource| wait_per_request_s(at, resource));
    let found = if at.resources[name].kind == "memory" {
        wall_below(levels, first, name, unit)
    } else if waits.len() == near.len() && waits.len() >= 3 && full >= 2 {
        hinge(&waits).map(|hinge| hinge.onset)
    } else if let (Some(wait_s), LoadUnit::Users) = (first_wait_s, unit.of) {
        Some(at.level - wait_s * at.throughput_per_s)
    } else {
        wall_below(levels, first, name, unit)
    };
    // A fit may lie outside the levels that it has to lie between when they are noisy or few: the middle is then all there is to say.
    // Memory is full before it is used up, so that one gives way further up than where it is seen to be full.
    let most = if at.resources[name].kind == "memory" { f64::INFINITY } else { at.level };
    let found = found.filter(|&load| load > base.level && load <= most * 1.05);
    let load = found.map_or((below.level * at.level).sqrt(), |load| load.min(most));
    let before = levels.iter().rfind(|level| level.level < load).map_or(base.level, |level| level.level);
    let after = levels.iter().find(|level| level.level >= load).map_or(most.min(load), |level| level.level);
    Some(Onset { at: load, bracket: [before, after], fitted: found.is_some() })
}

/// The load from which the mean response time rises along a straight line: the latency knee. `knee` is the lowest level that failed.
pub fn latency_knee(levels: &[Level], knee: &Level) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        near(levels, knee).map(|level| (level.level, level.response_ms.mean)).collect();
    hinge(&points).map(|hinge| hinge.onset)
}

/// Levels up to so far above `first` that what bends them there is not yet something else.
fn near<'a>(levels: &'a [Level], first: &Level) -> impl Iterator<Item = &'a Level> {
    let most = first.level * ARM;
    levels.iter().filter(move |level| level.level <= most && level.error_ratio <= ERRORS_MAX)
}

/// The load at which the demand seen up to the level `first` reaches the limit.
fn wall_below(levels: &[Level], first: usize, name: &str, unit: &Unit) -> Option<f64> {
    Demand::of(&unsaturated(&levels[..=first], name), name, unit)?.wall(levels.first()?, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::levels::Measured;
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
            let found =
                onset(&Measured::of(&simulated.input()).levels, "mongodb.pool", &unit_users()).unwrap();
            assert!((found.at / truth - 1.0).abs() <= 0.05, "pool of {size}: {found:?} for {truth}");
            assert!(found.bracket[0] <= found.at && found.at <= found.bracket[1]);
        }
    }

    #[test]
    fn one_saturated_level_is_enough() {
        let simulated = Simulated::run(&Pool::default(), &[100, 200, 400, 800], f64::MAX);
        let found = onset(&Measured::of(&simulated.input()).levels, "mongodb.pool", &unit_users()).unwrap();
        assert!((found.at / 510.0 - 1.0).abs() <= 0.05, "{found:?}");
        assert_eq!(found.bracket, [400.0, 800.0]);
    }

    #[test]
    fn a_cpu_without_a_queue_is_placed_by_its_demand() {
        // 4 cores of 8 ms: 500 requests a second, N* = 500·1.028 = 514.
        let system = Pool { size: 1000, front_servers: 4, front_s: 0.008, ..Pool::default() };
        let simulated = Simulated::run(&system, &[100, 200, 400, 800, 566], f64::MAX);
        let found = onset(&Measured::of(&simulated.input()).levels, "app.cpu", &unit_users()).unwrap();
        assert!((found.at / 514.0 - 1.0).abs() <= 0.05, "{found:?}");
    }

    #[test]
    fn no_queue_no_onset() {
        let simulated = Simulated::run(&Pool::default(), &[50, 100, 200], f64::MAX);
        assert_eq!(onset(&Measured::of(&simulated.input()).levels, "mongodb.pool", &unit_users()), None);
        let all_full = Simulated::run(&Pool::default(), &[800, 1000], f64::MAX);
        assert_eq!(onset(&Measured::of(&all_full.input()).levels, "mongodb.pool", &unit_users()), None);
    }
}
