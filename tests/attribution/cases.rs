//! The cases of the grid: which system, which search, which probes, and what was said.

use super::draw;
use super::draws::Draws;
use super::faults::{FAULTS, Fault, hide};
use super::probes::{filling, innocents, of_parts, rows};
use super::search::{Searched, Slo, search};
use super::system::{Load, Role, System};
use plimsoll::analyze::findings::findings;
use plimsoll::analyze::{Input, LevelInput};
use plimsoll::record::rows::SaturationRow;
use plimsoll::record::summary::Bottleneck;
use plimsoll::scenario::plan::LoadUnit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    /// All that matters is told, and this gives way first by far.
    Clear(Role),
    /// The first two ceilings lie so close that either may be named.
    NearTie,
    /// A bound on the latency that queueing breaks before anything is full.
    Early,
    /// The search ended at its upper limit, half way to the first ceiling, and every level was good.
    Below,
    /// What gives way first is not told of.
    Uninstrumented,
    BadProbe(Fault),
    /// Nor is this, and memory that does no harm fills with the load beside it.
    Filling,
}

/// Whatever may give way first.
pub(crate) const ROLES: [Role; 7] =
    [Role::Pool, Role::DbCpu, Role::AppCpu, Role::EventLoop, Role::Redis, Role::Lock, Role::Heap];
/// Systems of each resource: so many that 97 % right, as they are, is seldom less than 95 by chance.
const CLEAR_EACH: usize = 60;
const NEAR_TIES: usize = 14;
const EARLY: usize = 14;
const BELOW: usize = 14;
const UNINSTRUMENTED_EACH: usize = 8;
const FAULTS_EACH: usize = 7;
const FILLING_EACH: usize = 3;

/// All cases, in the order of their ids.
pub(crate) fn all() -> Vec<Category> {
    let mut all = Vec::new();
    all.extend(ROLES.iter().flat_map(|role| vec![Category::Clear(*role); CLEAR_EACH]));
    all.extend(vec![Category::NearTie; NEAR_TIES]);
    all.extend(vec![Category::Early; EARLY]);
    all.extend(vec![Category::Below; BELOW]);
    all.extend(vec![Category::Uninstrumented; UNINSTRUMENTED_EACH * ROLES.len()]);
    all.extend(FAULTS.iter().flat_map(|fault| vec![Category::BadProbe(*fault); FAULTS_EACH]));
    all.extend(vec![Category::Filling; FILLING_EACH * ROLES.len()]);
    all
}

/// One system, what a search of it left in its record, and what was said of that.
#[derive(Debug)]
pub(crate) struct Case {
    pub id: u64,
    pub category: Category,
    pub system: System,
    pub slo_s: f64,
    pub levels: Vec<LevelInput>,
    pub readings: Vec<SaturationRow>,
    pub said: Option<Bottleneck>,
}

impl Case {
    pub(crate) fn run(id: u64, category: Category, seed: u64) -> Self {
        let mut draws = Draws::new(seed, id, 0);
        let role = match category {
            Category::Clear(role) => role,
            _ => ROLES[id as usize % ROLES.len()],
        };
        let near = category == Category::NearTie;
        // Nothing comes close to a heap: it is not drawn beside a second one.
        let role = if near && role == Role::Heap { Role::Pool } else { role };
        let system = draw::system(role, near, &mut draws);
        let slo = if category == Category::Early { Slo::Early } else { Slo::AtCeiling };
        let mut searched = search(&system, slo, seed, id);
        let mut probes = of_parts(&system, &mut draws);
        probes.extend(innocents(&system, &mut draws));
        if category == Category::Below {
            let half = system.saturation() / 2.0;
            searched.levels.retain(|level| level.input.mark.good && level.input.mark.level <= half);
        }
        if matches!(category, Category::Uninstrumented | Category::Filling) {
            hide(&system, &mut probes);
        }
        if category == Category::Filling {
            probes.push(filling(&system, &mut draws));
        }
        if let Category::BadProbe(fault) = category {
            if matches!(fault, Fault::IdleCounted | Fault::PendingMiscounted) && draws.chance(0.5) {
                hide(&system, &mut probes);
            }
            fault.prepare(&system, &mut searched, &mut probes, &mut draws);
        }
        let mut readings = rows(&system, &searched, &probes, &mut draws);
        if let Category::BadProbe(fault) = category {
            fault.apply(&system, &searched, &mut readings, &mut draws);
        }
        let Searched { levels, slo_s } = searched;
        let levels: Vec<LevelInput> = levels.into_iter().map(|level| level.input).collect();
        let (unit, think_s) = match system.load {
            // Pacing leaves it open how long anybody thinks.
            Load::Closed(think) => (LoadUnit::Users, (!draws.chance(0.1)).then_some(think.mean_s)),
            Load::Open => (LoadUnit::RatePerS, None),
        };
        let input = Input {
            unit,
            think_s,
            requests_per_iteration: system.requests_per_iteration,
            judged: true,
            levels: &levels,
            soaks: &[],
            search: None,
            readings: &readings,
        };
        let said = findings(&input).bottleneck;
        Self { id, category, system, slo_s, levels, readings, said }
    }
}
