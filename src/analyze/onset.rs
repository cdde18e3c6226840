//! The load at which a resource begins to make work wait: where it is full by what was in use of it at the levels about there. And the load at which the
//! mean response time begins to rise. Levels are a few points apart from each other, so that is read off its shape between them: flat, then a straight line.

use super::levels::wait_per_request_s;
use super::saturate::{EXHAUSTED_MIN, LATENCY_GROWTH, saturated};
use super::wall::{Demand, Unit, unsaturated};
use crate::fit::line::hinge;
use crate::queueing::laws::number_in_system;
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
    /// Standard error of what was counted for it, as a share: a redraw of readings does not tell.
    pub error: f64,
}

/// Onset of the queue at `name`; `levels` in order of load. `None` when it is saturated at no level, or already at the lowest.
///
/// It is where the asymptotes meet: at the throughput X/ρ that would fill it by the utilization law, as the levels near the first saturated one have it, and
/// with the response time of the lowest level. A line through the waits would begin lower: few slots make wait long before they are all taken.
/// Where no wait is known the onset is the load at which the demand seen below reaches the limit.
pub fn onset(levels: &[Level], name: &str, unit: &Unit) -> Option<Onset> {
    let base = levels.first()?;
    let is_saturated = |level: &&Level| {
        level.resources.get(name).is_some_and(|resource| saturated(resource, level, Some(base)))
    };
    let first = levels.iter().position(|level| is_saturated(&level))?;
    let (below, at) = (levels.get(first.checked_sub(1)?)?, &levels[first]);
    let memory = at.resources[name].kind == "memory";
    let clocked = at.resources.get(name).and_then(|resource| wait_per_request_s(at, resource)).is_some();
    let (found, error) = if memory || !clocked {
        (wall_below(levels, first, name, unit), 0.0)
    } else {
        let full: Vec<&Level> = near(levels, at).filter(is_saturated).collect();
        filled(&full, name, base, unit)
    };
    // It may lie outside the levels that it has to lie between when they are noisy or few: the middle is then all there is to say.
    // Memory is full before it is used up, so that one gives way further up than where it is seen to be full.
    let most = if memory { f64::INFINITY } else { at.level / EXHAUSTED_MIN };
    let found = found.filter(|&load| load > base.level && load <= most * 1.05);
    let load = found.map_or((below.level * at.level).sqrt(), |load| load.min(most));
    let before = levels.iter().rfind(|level| level.level < load).map_or(base.level, |level| level.level);
    let after = levels.iter().find(|level| level.level >= load).map_or(load, |level| level.level);
    Some(Onset { at: load, bracket: [before, after], fitted: found.is_some(), error })
}

/// The load that fills `name` as far as it was in use at `full` levels, and its standard error: both requests and the mean of a response time scatter by
/// one over the root of their number, if times are about as variable as exponential ones.
fn filled(full: &[&Level], name: &str, base: &Level, unit: &Unit) -> (Option<f64>, f64) {
    let sum = |of: &dyn Fn(&Level) -> f64| full.iter().map(|level| of(level)).sum::<f64>();
    let requests =
        |level: &Level| number_in_system(level.throughput_per_s, level.span_s[1] - level.span_s[0]);
    let used = sum(&|level| level.resources[name].utilization.unwrap_or(0.0));
    let filled_at = sum(&|level| level.throughput_per_s) / used;
    let load = unit.load_at(filled_at, unit.cycle_s(base));
    let of_response = match unit.of {
        LoadUnit::Users => filled_at * base.response_ms.mean / 1e3 / load,
        LoadUnit::RatePerS => 0.0,
    };
    let error = (sum(&requests).recip() + of_response.powi(2) / requests(base)).sqrt();
    (Some(load).filter(|load| load.is_finite()), if error.is_finite() { error } else { 0.0 })
}

/// Where the mean response time begins to rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knee {
    pub at: f64,
    /// The levels on either side of it: the last that is as fast as below, and the first that is not.
    pub bracket: [f64; 2],
    /// Two levels or more lie on the line that rises; of a single one nobody knows how steep that is, and the bracket is all that is known.
    pub fitted: bool,
}

impl Knee {
    /// `ends` of redraws, as far as they say how sure it is.
    pub fn interval(&self, ends: [f64; 2]) -> [f64; 2] {
        if self.fitted && ends[0] < ends[1] {
            return ends;
        }
        [ends[0].min(self.bracket[0]), ends[1].max(self.bracket[1])]
    }
}

/// The load from which the mean response time rises along a straight line: the latency knee. `knee` is the lowest level that failed.
pub fn latency_knee(levels: &[Level], knee: &Level) -> Option<Knee> {
    let points: Vec<(f64, f64)> =
        near(levels, knee).map(|level| (level.level, level.response_ms.mean)).collect();
    let found = hinge(&points)?;
    let risen = || points.iter().filter(|(x, y)| *x > found.onset && *y >= LATENCY_GROWTH * found.base);
    let after = risen().chain(points.last()).map(|point| point.0).next()?;
    let fitted = risen().count() >= 2;
    let is_before = |x: &f64| *x < after && (!fitted || *x <= found.onset);
    let before = points.iter().map(|point| point.0).rfind(is_before)?;
    let at = if fitted { found.onset } else { (before * after).sqrt() };
    Some(Knee { at, bracket: [before, after], fitted })
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
    use crate::analyze::testbed::{Simulated, level, unit_users};
    use crate::search::closed_system::Pool;

    /// The levels a search visits, in its order, and N* = c·(Z + S)/S.
    #[test]
    fn a_pool_s_onset_is_its_saturation_point() {
        let searches: [(usize, f64, &[u64]); 5] = [
            (10, 510.0, &[100, 200, 400, 800, 566, 476, 519, 544]),
            (10, 510.0, &[100, 200, 400, 800, 566, 476, 519]),
            (1, 51.0, &[10, 20, 40, 80, 56, 47, 52]),
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

    /// Of the one level that is slower nobody knows how steep the line to it is.
    #[test]
    fn a_knee_before_a_single_slow_level_lies_somewhere_between_it_and_the_last_fast_one() {
        let levels =
            [(100.0, 20.0), (200.0, 20.1), (400.0, 19.9), (800.0, 90.0)].map(|(at, ms)| level(at, ms, []));
        let found = latency_knee(&levels, &levels[3]).unwrap();
        assert_eq!((found.bracket, found.fitted), ([400.0, 800.0], false));
        assert!(found.at > 400.0 && found.at < 800.0, "{found:?}");
        assert_eq!(found.interval([200.0, 200.0]), [200.0, 800.0]);
        let more =
            [(100.0, 20.0), (200.0, 20.1), (400.0, 55.0), (800.0, 195.0)].map(|(at, ms)| level(at, ms, []));
        let found = latency_knee(&more, &more[2]).unwrap();
        assert!(found.fitted && (found.at / 300.0 - 1.0).abs() < 0.01, "{found:?}");
        assert_eq!(found.interval([290.0, 310.0]), [290.0, 310.0]);
        assert_eq!(
            found.interval([300.0, 300.0]),
            [200.0, 400.0],
            "no draw scatters: the readings tell of no waits"
        );
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
