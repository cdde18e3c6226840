//! What a request takes of a resource while hardly anybody waits for anybody, and how much more it takes under a higher load. What is full only because
//! requests take more of it than then is the victim of something else; of all that is full, the first is what the quiet demand alone fills.

use crate::fit::line::line;
use crate::queueing::laws::{demand_s, number_in_system};
use crate::record::summary::{Level, LevelResource};

/// Throughput over the best up to which a level counts as quiet, and utilization of the resource; the second pair where the first tells nothing.
const QUIET: [(f64, f64); 2] = [(0.5, 0.5), (0.75, 0.7)];
/// Standard errors of a hold, as shares of it: that up to which quieter levels are preferred, and that up to which it is told at all.
const TOLD: [f64; 2] = [0.15, 0.3];

/// Part of the limit from which what is used without any request stands out from chance.
const BACKGROUND_MIN: f64 = 0.02;

/// use = background + per_request·throughput; of what has a clock, the hold of a visit as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quiet {
    background: f64,
    per_request_s: f64,
    hold_ms: Option<f64>,
    /// Relative standard error of the hold.
    pub error: f64,
    /// Likewise of what a request takes: as few as there were are not all alike, about as little as exponential times are.
    pub demand_error: f64,
}

impl Quiet {
    /// Of the levels below `top`, in order of load. `None` where none of them was quiet or the resource tells too little there.
    pub fn of(levels: &[Level], top: &Level, name: &str) -> Option<Self> {
        let below = || levels.iter().take_while(|level| level.level < top.level);
        let best = below().map(|level| level.throughput_per_s).fold(top.throughput_per_s, f64::max);
        let within = |(share, utilization): (f64, f64)| {
            let quiet = below().filter(|level| level.good && level.throughput_per_s <= share * best);
            let told = quiet.filter_map(|level| Some((level, level.resources.get(name)?)));
            told.filter(|(_, resource)| resource.utilization.is_some_and(|ratio| ratio <= utilization))
                .collect::<Vec<_>>()
        };
        let told =
            |error_max: f64| QUIET.into_iter().find_map(|bounds| Self::from(&within(bounds), error_max));
        TOLD.into_iter().find_map(told)
    }

    fn from(quiet: &[(&Level, &LevelResource)], error_max: f64) -> Option<Self> {
        let (_, last) = quiet.last()?;
        let seconds = |level: &Level| level.span_s[1] - level.span_s[0];
        let sum = |of: &dyn Fn(&Level, &LevelResource) -> f64| -> f64 {
            quiet.iter().map(|(level, resource)| of(level, resource)).sum()
        };
        let used_s = sum(&|level, resource| resource.used * seconds(level));
        let free_s = sum(&|level, resource| free(resource) * resource.used * seconds(level)) / used_s;
        let requests = sum(&|level, _| number_in_system(level.throughput_per_s, seconds(level)));
        let held = |level: &Level, resource: &LevelResource| {
            let visits = resource.visits? * level.throughput_per_s * seconds(level);
            Some((visits, resource.hold_ms? * visits))
        };
        let clocked: Vec<(f64, f64)> =
            quiet.iter().filter_map(|(level, resource)| held(level, resource)).collect();
        let visits: f64 = clocked.iter().map(|(visits, _)| visits).sum();
        let hold_ms = clocked.iter().map(|(_, hold_ms)| hold_ms).sum::<f64>() / visits;
        let hold_ms = Some(hold_ms).filter(|hold_ms| *hold_ms > 0.0);
        let error = match hold_ms {
            // Holds are about as variable as exponential ones.
            Some(_) => visits.max(1.0).sqrt().recip(),
            None => counted_error(used_s, free_s),
        };
        let demand_error = requests.max(1.0).sqrt().recip();
        let mean =
            Self { background: 0.0, per_request_s: demand_s(used_s, requests), hold_ms, error, demand_error };
        if last.kind == "pool" {
            return (hold_ms.is_some() || error <= error_max).then_some(mean);
        }
        // A processor is used by others too, who do not depend on the load.
        let points: Vec<(f64, f64)> =
            quiet.iter().map(|(level, resource)| (level.throughput_per_s, resource.used)).collect();
        let least = BACKGROUND_MIN * last.limit.unwrap_or(0.0);
        let fitted = line(&points).filter(|fitted| fitted.intercept > least && fitted.slope > 0.0);
        let found = fitted.map_or(mean, |fitted| Self {
            background: fitted.intercept,
            per_request_s: fitted.slope,
            ..mean
        });
        (found.per_request_s > 0.0).then_some(found)
    }

    /// How much longer a visit holds it at a level; where no clock tells, how much more a request takes of it.
    pub fn growth(&self, level: &Level, resource: &LevelResource) -> f64 {
        match (self.hold_ms, resource.hold_ms) {
            (Some(before), Some(now)) => now / before,
            _ => self.taken(level, resource),
        }
    }

    /// How much more a request takes of it at a level, over all its visits.
    pub fn taken(&self, level: &Level, resource: &LevelResource) -> f64 {
        // Who gave up before it held nothing of it.
        let held_per_s = (level.throughput_per_s - resource.errors_per_s.unwrap_or(0.0)).max(0.0);
        resource.used / (self.background + self.per_request_s * held_per_s)
    }
}

/// Share of its slots that are not in use.
pub fn free(resource: &LevelResource) -> f64 {
    1.0 - resource.utilization.unwrap_or(0.0).min(1.0)
}

/// Relative standard error of slots in use that were counted once a second: of n slot-seconds, where a slot is free at such a share of the times.
pub fn counted_error(slot_s: f64, free: f64) -> f64 {
    (free / slot_s.max(f64::MIN_POSITIVE)).sqrt()
}
