//! Probes that tell something else than what is: what a search must not believe.

use super::draws::Draws;
use super::probes::{Probe, Source};
use super::search::Searched;
use super::system::{Role, System};
use plimsoll::record::rows::SaturationRow;

/// What is wrong with the probes of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The first resource says that half as much of it is used as is.
    Halved,
    /// A pool counts its idle connections as used ones: always full, nobody waits, and its own clocks say otherwise.
    IdleCounted,
    /// What is pending at an innocent pool counts every request in flight, and next to nothing of it is in use.
    PendingMiscounted,
    /// All that is told is older than the settling of a level.
    Late,
    /// Counters begin anew every few seconds, and what is made of two of them is missing.
    Resets,
    /// The search was cut off after one bad level, or after one of each kind.
    FewLevels,
    /// The limit of the first resource is not told.
    NoLimit,
    /// The first resource says for ever what it said first.
    Frozen,
    /// The scrapes of the first resource fail from the middle of the search on.
    Gone,
    /// The clock of the probes is behind that of the run: what they tell of a level is written before it.
    Behind,
}

pub(crate) const FAULTS: [Fault; 10] = [
    Fault::Halved,
    Fault::IdleCounted,
    Fault::PendingMiscounted,
    Fault::Late,
    Fault::Resets,
    Fault::FewLevels,
    Fault::NoLimit,
    Fault::Frozen,
    Fault::Gone,
    Fault::Behind,
];

/// The innocent pool of which `IdleCounted` and `PendingMiscounted` tell: ten connections, two in use.
const MISCOUNTED: &str = "catalog.pool";

impl Fault {
    /// Before there are rows: who is asked, and which levels there are.
    pub(crate) fn prepare(
        self,
        system: &System,
        searched: &mut Searched,
        probes: &mut Vec<Probe>,
        draws: &mut Draws,
    ) {
        if matches!(self, Self::Halved | Self::NoLimit | Self::Frozen | Self::Gone) {
            hide_symptoms(system, probes);
        }
        match self {
            Self::FewLevels => cut(searched, draws),
            Self::Late => probes.iter_mut().for_each(|probe| probe.late_s = draws.between(8.0, 20.0)),
            Self::Behind => probes.iter_mut().for_each(|probe| probe.late_s = -draws.between(6.0, 12.0)),
            Self::NoLimit => {
                let first = system.first.resource();
                probes
                    .iter_mut()
                    .filter(|probe| probe.resource == first)
                    .for_each(|probe| probe.limit = None);
            }
            _ => {}
        }
    }

    /// What becomes of the rows.
    pub(crate) fn apply(
        self,
        system: &System,
        searched: &Searched,
        rows: &mut Vec<SaturationRow>,
        draws: &mut Draws,
    ) {
        let first = system.first.resource();
        match self {
            Self::Halved => rows.iter_mut().filter(|row| row.resource == first).for_each(|row| {
                row.used /= 2.0;
                row.utilization = row.utilization.map(|share| share / 2.0);
            }),
            Self::IdleCounted => miscounted(searched, rows, |in_flight| (10.0, 0.0 * in_flight)),
            Self::PendingMiscounted => miscounted(searched, rows, |in_flight| (2.0, in_flight)),
            Self::Frozen => {
                let Some(frozen) = rows.iter().find(|row| row.resource == first).cloned() else { return };
                rows.iter_mut()
                    .filter(|row| row.resource == first)
                    .for_each(|row| *row = SaturationRow { t_s: row.t_s, ..frozen.clone() });
            }
            Self::Gone => {
                let level = draws.between(0.2, 0.6) * searched.levels.len() as f64;
                let from_s = searched.levels[level as usize].begin_s;
                rows.retain(|row| row.resource != first || row.t_s < from_s);
            }
            Self::Resets => {
                // Of a resource without a gauge nothing is left.
                rows.retain_mut(|row| {
                    if !draws.chance(0.25) {
                        return true;
                    }
                    (row.visits, row.wait_s, row.hold_s, row.errors) = (None, None, None, None);
                    row.kind != "cpu"
                });
            }
            Self::Late | Self::Behind | Self::FewLevels | Self::NoLimit => {}
        }
    }
}

/// One bad level, or the best good and the worst bad one.
fn cut(searched: &mut Searched, draws: &mut Draws) {
    let worst = |levels: &[super::search::Level]| {
        levels
            .iter()
            .enumerate()
            .filter(|(_, level)| !level.input.mark.good)
            .max_by(|a, b| a.1.input.mark.level.total_cmp(&b.1.input.mark.level))
            .map(|(index, _)| index)
    };
    let Some(bad) = worst(&searched.levels) else { return };
    let keep_good = draws.chance(0.5).then(|| bad.saturating_sub(1));
    let mut index = 0;
    searched.levels.retain(|_| {
        index += 1;
        index - 1 == bad || Some(index - 1) == keep_good
    });
}

/// Rows of the innocent pool, whose `used` and `waiting` are what `says` makes of the requests in flight.
fn miscounted(searched: &Searched, rows: &mut Vec<SaturationRow>, says: fn(f64) -> (f64, f64)) {
    for level in &searched.levels {
        for (second, pair) in level.looks.windows(2).enumerate() {
            let visits = pair[1].ended - pair[0].ended;
            let (used, waiting) = says(pair[1].in_flight);
            rows.push(SaturationRow {
                t_s: level.begin_s + second as f64 + 1.0,
                resource: MISCOUNTED.to_owned(),
                kind: "pool".to_owned(),
                used,
                limit: Some(10.0),
                waiting: Some(waiting),
                utilization: Some(used / 10.0),
                errors: Some(0.0),
                visits: Some(visits),
                wait_s: Some(0.0),
                hold_s: Some(2.0),
            });
        }
    }
    rows.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
}

/// Without the resource that gives way first, and without what shows it.
pub(crate) fn hide(system: &System, probes: &mut Vec<Probe>) {
    let first = system.first.resource();
    probes.retain(|probe| probe.resource != first);
    hide_symptoms(system, probes);
}

/// Collections are seen on the loop and in the process: who is told of these and not of the heap is not wrong to name the loop, which has
/// no time left. So they are not told of.
fn hide_symptoms(system: &System, probes: &mut Vec<Probe>) {
    if system.first == Role::Heap {
        probes.retain(|probe| {
            !matches!(probe.source, Source::Process(_)) && probe.resource != Role::EventLoop.resource()
        });
    }
}
