//! A grid of simulated systems of which it is known what gives way first, and what `analyze` says of them. Written from the theory and
//! the contract of the record alone, without a look at how the naming is done.
//!
//! `system` says what a system is and computes its ceilings, `draw` draws systems, `world` (with `place` and `calendar`) simulates a level,
//! `search` a search, `probes` and `faults` what is told of it; `cases` puts them together and `score` judges.

pub(crate) mod calendar;
pub(crate) mod cases;
pub(crate) mod draw;
pub(crate) mod draws;
pub(crate) mod faults;
pub(crate) mod place;
pub(crate) mod probes;
pub(crate) mod score;
pub(crate) mod search;
pub(crate) mod system;
mod theory;
pub(crate) mod world;

/// Fresh in every run, and told, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("PLIMSOLL_GRID_SEED").ok();
    given.map_or_else(rand::random, |text| text.parse().expect("PLIMSOLL_GRID_SEED is a whole number"))
}
