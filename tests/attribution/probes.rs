//! What probes tell of a system: rows as `probe::resource` makes them of two scrapes, in the manners of real exporters. A gauge is what
//! it was at the look; an integral is exact over the span; a counter that is not there is no zero.

use super::draws::Draws;
use super::place::Seen;
use super::search::{Level, Searched};
use super::system::{Role, System};
use super::world::Look;
use plimsoll::record::rows::SaturationRow;

/// What a row tells of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    /// The part with this index.
    Part(usize),
    Heap,
    /// CPU of the process whose event loop is the part with this index.
    Process(usize),
    /// Connections at the gateway: every user's, or one a request in flight.
    Gateway,
    /// Memory that stays as it is, as a cache's does: this share of its limit.
    Cache(f64),
    /// Memory that fills with the load, up to this share of its limit from that load on, as a cache of what users ask for does.
    Filling(f64, f64),
    /// A pool of another service, seven of ten in use with errors at every load.
    Erring,
    /// A heap that fills with garbage up to this share of its limit and then has little left, over and over, at every load.
    Sawtooth(f64),
    /// Workers behind a queue whose jobs nobody waits for: all busy from this load on, requests per second.
    Workers(f64),
    /// A disk of which no limit is known.
    Disk,
}

/// How a probe tells of one resource.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub resource: String,
    pub kind: &'static str,
    pub source: Source,
    pub limit: Option<f64>,
    /// Means over the span instead of gauges.
    pub integral: bool,
    pub waiting: bool,
    /// Visits and the sums of their waits and holds.
    pub clocks: bool,
    /// Relative error of what it says is used.
    pub noise: f64,
    /// Share of the scrapes that fail.
    pub missing: f64,
    /// How much later than it was its state is written down, s.
    pub late_s: f64,
}

impl Probe {
    fn new(resource: &str, kind: &'static str, source: Source, limit: f64) -> Self {
        Self {
            resource: resource.to_owned(),
            kind,
            source,
            limit: Some(limit),
            integral: true,
            waiting: false,
            clocks: false,
            noise: 0.0,
            missing: 0.0,
            late_s: 0.0,
        }
    }
}

/// A probe of each resource of the system, in a manner drawn for it.
pub(crate) fn of_parts(system: &System, draws: &mut Draws) -> Vec<Probe> {
    let missing = if draws.chance(0.4) { 0.03 } else { 0.0 };
    let late_s = if draws.chance(0.15) { 1.0 } else { 0.0 };
    let mut probes = Vec::new();
    for (index, part) in system.parts.iter().enumerate() {
        let source = Source::Part(index);
        let mut probe = Probe::new(part.role.resource(), "pool", source, part.servers);
        match part.role {
            // HikariCP's gauges; its timers beside them; the integrals of the bundled target.
            Role::Pool => {
                let manner = draws.pick(&[0, 1, 2]);
                (probe.integral, probe.clocks, probe.waiting) = (manner == 2, manner > 0, true);
            }
            Role::DbCpu | Role::AppCpu | Role::Heap => {
                probe.kind = "cpu";
                probe.noise = draws.pick(&[0.0, 0.01, 0.02]);
                probe.waiting = draws.chance(0.25);
                probe.clocks = !part.shared && probe.waiting && part.role == Role::AppCpu;
            }
            Role::EventLoop => {
                probe.kind = draws.pick(&["cpu", "queue"]);
                probe.clocks = draws.chance(0.4);
                probe.waiting = probe.clocks;
            }
            Role::Redis => {
                probe.kind = "cpu";
                probe.clocks = draws.chance(0.6);
                probe.waiting = probe.clocks;
            }
            // Busy threads and how many there are; what waits for one lies in the kernel's queue.
            Role::Threads => {
                (probe.integral, probe.waiting) = (false, draws.chance(0.4));
            }
            Role::Lock => {
                probe.integral = draws.chance(0.7);
                probe.clocks = probe.integral && draws.chance(0.7);
                probe.waiting = true;
            }
        }
        probes.push(probe);
        if part.role == Role::EventLoop {
            let cores = f64::from(draws.count(2, 8));
            probes.push(Probe::new("process.cpu", "cpu", Source::Process(index), cores));
        }
    }
    if let Some(heap) = &system.heap {
        probes.push(Probe::new(Role::Heap.resource(), "memory", Source::Heap, heap.limit));
    }
    for probe in &mut probes {
        (probe.missing, probe.late_s) = (missing, late_s);
    }
    probes
}

/// Resources that stand beside and stop nobody, whatever they look like.
pub(crate) fn innocents(system: &System, draws: &mut Draws) -> Vec<Probe> {
    let mut probes = Vec::new();
    if draws.chance(0.4) {
        let limit = system.saturation() * 2.2 * draws.log_uniform(3.0, 10.0) + 1_000.0;
        probes.push(Probe::new("gateway.connections", "pool", Source::Gateway, limit.round()));
    }
    if draws.chance(0.4) {
        let share = if draws.chance(0.25) { 0.95 } else { draws.between(0.5, 0.88) };
        probes.push(Probe::new("cache.memory", "memory", Source::Cache(share), 2e9));
    }
    if draws.chance(0.2) {
        probes.push(Probe { waiting: true, ..Probe::new("reports.pool", "pool", Source::Erring, 10.0) });
    }
    if system.heap.is_none() && draws.chance(0.4) {
        let peak = draws.between(0.5, 0.95);
        probes.push(Probe::new(Role::Heap.resource(), "memory", Source::Sawtooth(peak), 1e9));
    }
    if draws.chance(0.08) {
        let full_per_s = system.ceiling_per_s * draws.between(0.3, 0.7);
        probes.push(Probe::new("queue.workers", "pool", Source::Workers(full_per_s), 50.0));
    }
    if draws.chance(0.2) {
        probes.push(Probe { limit: None, ..Probe::new("data.disk", "queue", Source::Disk, 1.0) });
    }
    probes
}

/// Memory that is nearly full where the system is, and stops nobody. One that fills within a tenth of where the system does nobody can tell from what does.
pub(crate) fn filling(system: &System, draws: &mut Draws) -> Probe {
    let share = draws.between(0.91, 0.99);
    let full_at = system.saturation() * draws.between(0.5, 0.9);
    Probe::new("page.cache", "memory", Source::Filling(share, full_at), 2e9)
}

/// The rows of all probes, in order of time. The time between a row and the one before it is what its counters span.
pub(crate) fn rows(
    system: &System,
    searched: &Searched,
    probes: &[Probe],
    draws: &mut Draws,
) -> Vec<SaturationRow> {
    let mut rows = Vec::new();
    for level in &searched.levels {
        let mut last = vec![0; probes.len()];
        for second in 1..level.looks.len() {
            for (index, probe) in probes.iter().enumerate() {
                if draws.chance(probe.missing) {
                    continue;
                }
                let before = std::mem::replace(&mut last[index], second);
                rows.push(row(system, level, probe, before, second, draws));
            }
        }
    }
    rows.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    rows
}

fn row(
    system: &System,
    level: &Level,
    probe: &Probe,
    before: usize,
    second: usize,
    draws: &mut Draws,
) -> SaturationRow {
    let (from, now) = (&level.looks[before], &level.looks[second]);
    let span_s = (second - before) as f64;
    let told = tell(system, level, probe, from, now, span_s, draws);
    let used = told.used * (1.0 + probe.noise * draws.normal());
    SaturationRow {
        t_s: level.begin_s + second as f64 + probe.late_s,
        resource: probe.resource.clone(),
        kind: probe.kind.to_owned(),
        used,
        limit: probe.limit,
        waiting: told.waiting,
        utilization: probe.limit.map(|limit| used / limit),
        errors: told.errors,
        visits: told.visits,
        wait_s: told.wait_s,
        hold_s: told.hold_s,
    }
}

#[derive(Default)]
struct Told {
    used: f64,
    waiting: Option<f64>,
    errors: Option<f64>,
    visits: Option<f64>,
    wait_s: Option<f64>,
    hold_s: Option<f64>,
}

fn tell(
    system: &System,
    level: &Level,
    probe: &Probe,
    from: &Look,
    now: &Look,
    span_s: f64,
    draws: &mut Draws,
) -> Told {
    let per_s = (now.ended - from.ended) / span_s;
    match probe.source {
        Source::Part(index) => of_part(system, probe, index, (&from.parts[index], &now.parts[index]), span_s),
        Source::Heap => Told { used: now.heap_used, ..Told::default() },
        Source::Process(index) => {
            let busy = (now.parts[index].busy_s - from.parts[index].busy_s) / span_s;
            Told { used: busy * 1.06 + 0.01, ..Told::default() }
        }
        Source::Gateway => Told { used: level.input.mark.level.max(now.in_flight) + 3.0, ..Told::default() },
        Source::Cache(share) => {
            let used = probe.limit.unwrap_or(1.0) * share * (1.0 + 0.002 * draws.normal());
            Told { used, ..Told::default() }
        }
        Source::Filling(share, full_at) => {
            let filled = (level.input.mark.level / full_at).min(1.0) * (1.0 + 0.002 * draws.normal());
            Told { used: probe.limit.unwrap_or(1.0) * share * filled, ..Told::default() }
        }
        Source::Erring => Told {
            used: draws.between(6.0, 8.0).round(),
            waiting: Some(0.0),
            errors: Some((per_s * 0.02 * span_s).round() + 1.0),
            ..Told::default()
        },
        Source::Sawtooth(peak) => {
            let share = draws.between(0.3, peak);
            Told { used: probe.limit.unwrap_or(1.0) * share, ..Told::default() }
        }
        Source::Workers(full_per_s) => {
            let used = 50.0 * (per_s / full_per_s * draws.between(0.95, 1.05)).min(1.0);
            let jobs = used * span_s / (50.0 / full_per_s);
            Told { used, visits: Some(jobs), hold_s: Some(used * span_s), ..Told::default() }
        }
        Source::Disk => Told { used: 0.1 + per_s * 0.002 * draws.between(0.8, 1.2), ..Told::default() },
    }
}

fn of_part(system: &System, probe: &Probe, index: usize, (from, now): (&Seen, &Seen), span_s: f64) -> Told {
    let part = &system.parts[index];
    let mean = |of: fn(&Seen) -> f64| (of(now) - of(from)) / span_s;
    let (used, waiting) = match probe.integral {
        true => (mean(|seen| seen.busy_s), mean(|seen| seen.waiting_s)),
        false => (now.busy, now.waiting),
    };
    let delta = |of: fn(&Seen) -> f64| of(now) - of(from);
    let clock = |of: fn(&Seen) -> f64| probe.clocks.then(|| delta(of));
    // The presets tell of no holds of cores and loops.
    let holds = matches!(part.role, Role::Pool | Role::Lock | Role::Redis);
    Told {
        used: used + part.background,
        waiting: probe.waiting.then_some(waiting),
        errors: (part.role == Role::Pool).then(|| delta(|seen| seen.errors)),
        visits: clock(|seen| seen.visits),
        wait_s: clock(|seen| seen.wait_s),
        hold_s: clock(|seen| seen.hold_s).filter(|_| holds),
    }
}
