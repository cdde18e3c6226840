//! The levels of a run drawn again: as they might have been measured, had other moments of the same levels been read.
//!
//! Blocks of neighboring readings are drawn within each level with replacement, all resources at the same moments, for what makes one of them
//! busy makes others wait (the moving-block bootstrap of Künsch, Annals of Statistics 17, 1989). Loads and throughputs are what they were: a level
//! is what the plan made it and no chance. The mean response time moves along with the waits that were read.

use super::levels::wait_per_request_s;
use super::samples::Series;
use crate::record::summary::Level;
use crate::seed::Stream;
use rand::RngExt as _;

/// Readings of a block: the cube root of their number is the order that Künsch gives.
const BLOCK_MAX: usize = 6;

/// `series` has one entry a level, each in order of name; a resource that is left out of a level is not drawn.
pub(super) fn redraw(levels: &[Level], series: &[Vec<Series>], random: &mut Stream) -> Vec<Level> {
    levels.iter().zip(series).map(|(level, series)| again(level, series, random)).collect()
}

fn again(level: &Level, series: &[Series], random: &mut Stream) -> Level {
    let most = series.iter().map(|one| one.samples.len()).max().unwrap_or(0);
    let moments: Vec<f64> = (0..most).map(|_| random.random::<f64>()).collect();
    let mut drawn = level.clone();
    let mut waits_s = 0.0;
    for (name, resource) in &mut drawn.resources {
        let Ok(place) = series.binary_search_by(|one| one.name.as_str().cmp(name)) else { continue };
        let one = &series[place];
        let picked = picks(one.samples.len(), &moments).map(|index| &one.samples[index]);
        *resource = one.mean_of(picked, level.throughput_per_s);
        let before = level.resources.get(name).and_then(|before| wait_per_request_s(level, before));
        if let (Some(before), Some(now)) = (before, wait_per_request_s(level, resource)) {
            waits_s += now - before;
        }
    }
    drawn.response_ms.mean = (level.response_ms.mean + waits_s * 1e3).max(0.0);
    drawn
}

/// Places of `count` readings, block after block from the given moments (0..1) on.
fn picks(count: usize, moments: &[f64]) -> impl Iterator<Item = usize> {
    let block = ((count as f64).cbrt().round() as usize).clamp(1, BLOCK_MAX);
    let starts = count.saturating_sub(block) + 1;
    (0..count).map(move |place| (moments[place / block] * starts as f64) as usize + place % block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::levels::Measured;
    use crate::analyze::testbed::Simulated;
    use crate::search::closed_system::Pool;
    use crate::seed::{Purpose, stream};

    #[test]
    fn a_draw_scatters_around_what_was_measured() {
        let simulated = Simulated::run(&Pool::default(), &[200, 450], 100.0);
        let measured = Measured::of(&simulated.input());
        let mut random = stream(1, Purpose::Bootstrap, 0, 0);
        let draws: Vec<Vec<Level>> =
            (0..200).map(|_| redraw(&measured.levels, &measured.series, &mut random)).collect();
        for (index, level) in measured.levels.iter().enumerate() {
            let used = |level: &Level| level.resources["mongodb.pool"].used;
            let mean = draws.iter().map(|draw| used(&draw[index])).sum::<f64>() / 200.0;
            assert!((mean / used(level) - 1.0).abs() < 0.03, "{mean} for {}", used(level));
            assert!(draws.iter().any(|draw| used(&draw[index]) != used(level)));
        }
    }

    #[test]
    fn blocks_are_neighbors_inside_the_level() {
        let moments = [0.0, 0.999, 0.5, 0.2, 0.0, 0.9, 0.1, 0.0];
        let picked: Vec<usize> = picks(8, &moments).collect();
        assert_eq!(picked, [0, 1, 6, 7, 3, 4, 1, 2]);
        assert_eq!(picks(1, &moments).collect::<Vec<_>>(), [0]);
        assert_eq!(picks(0, &[]).count(), 0);
    }
}
