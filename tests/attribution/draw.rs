//! Draws systems of which the first ceiling is known by theory, and by how much the second lies above it. What does not come out as
//! asked for is drawn again.

use super::draws::{Draws, Shape, Time};
use super::system::{Heap, Load, Part, Role, Step, System, carried_per_s};

/// How far the second ceiling lies above the first: clearly, or so little that nobody could tell.
const CLEAR: f64 = 1.3;
pub(crate) const NEAR: (f64, f64) = (1.0, 1.1);
/// Ceilings of the others as multiples of the first.
const MARGINS: (f64, f64) = (1.35, 8.0);
/// Requests per second at the first ceiling: enough for percentiles, few enough to simulate hundreds of systems.
const CEILINGS_PER_S: (f64, f64) = (30.0, 300.0);
/// Hold of a pool's slot with nobody else there, s, and its slots.
const HOLDS_S: (f64, f64) = (0.001, 0.3);
const SLOTS_MAX: u32 = 200;
/// A pool binds if what it guards makes its holds no longer than this when all slots are taken; it is a victim past the other. With times
/// that spread more than exponential ones a hold grows somewhat further, and between 1.15 and 1.3 it would be the fault of both.
const HOLD_FLAT: f64 = 1.1;
const HOLD_GROWN: f64 = 1.3;
/// What a pool guards is at its limit when the pool is full.
const GUARDED_FULL: f64 = 0.95;
/// Threads, over those that the first ceiling keeps busy while nothing waits.
const THREADS: (f64, f64) = (2.5, 8.0);
/// Longest demand of a request on one resource, s, and the least users or arrivals per second at the first ceiling.
const DEMAND_S_MAX: f64 = 0.5;
const SATURATION_MIN: f64 = 12.0;
const ATTEMPTS_MAX: usize = 20_000;

/// A system of which `role` gives way first, by far or by a hair.
pub(crate) fn system(role: Role, near: bool, draws: &mut Draws) -> System {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(system) = attempt(role, near, draws) {
            return system;
        }
    }
    panic!("no system with {role:?} first in {ATTEMPTS_MAX} attempts");
}

/// What is being put together.
struct Draft {
    parts: Vec<Part>,
    steps: Vec<Step>,
}

impl Draft {
    /// A part that serves by itself, visited once with `share` of its demand.
    fn visit(&mut self, index: usize, share: f64, shape: Shape, runs: bool) {
        let part = &self.parts[index];
        let time = Time { mean_s: part.demand_s * share, shape };
        if part.shared {
            self.steps.push(Step::Share(index, time));
        } else {
            let stay = if runs { Step::Run(time) } else { Step::Stay(time) };
            self.steps.extend([Step::Take(index), stay, Step::Give(index)]);
        }
    }

    fn add(&mut self, part: Part) -> usize {
        self.parts.push(part);
        self.parts.len() - 1
    }
}

fn part(role: Role, servers: f64, demand_s: f64) -> Part {
    Part { role, servers, background: 0.0, shared: false, demand_s, timeout_s: None }
}

/// Cores, some of them shared, of which others may use some.
fn cores(role: Role, ceiling_per_s: f64, draws: &mut Draws) -> Part {
    let servers = f64::from(draws.count(1, 16));
    let shared = draws.chance(0.6);
    let background = if shared && draws.chance(0.4) { servers * draws.between(0.05, 0.3) } else { 0.0 };
    Part { shared, background, ..part(role, servers, (servers - background) / ceiling_per_s) }
}

fn attempt(role: Role, near: bool, draws: &mut Draws) -> Option<System> {
    let aim_per_s = draws.log_uniform(CEILINGS_PER_S.0, CEILINGS_PER_S.1);
    let rival = near.then(|| draws.pick(&[0, 1, 2, 3, 4]));
    let mut turn = 0;
    let mut ceiling = |of: Role, draws: &mut Draws| {
        turn += 1;
        let margin = match rival {
            _ if of == role => 1.0,
            Some(rival) if rival + 1 == turn => draws.between(NEAR.0, NEAR.1),
            _ => draws.log_uniform(MARGINS.0, MARGINS.1),
        };
        aim_per_s * margin
    };
    let mut draft = Draft { parts: Vec::new(), steps: Vec::new() };
    draft.steps.push(Step::Delay(Time { mean_s: draws.log_uniform(0.0005, 0.02), shape: draws.shape() }));

    let on_loop = match role {
        Role::EventLoop | Role::Heap => true,
        Role::AppCpu => false,
        _ => draws.chance(0.5),
    };
    let threads = (!on_loop && draws.chance(0.3)).then(|| draft.add(part(Role::Threads, 1.0, 1.0)));
    draft.steps.extend(threads.map(Step::Take));
    let app_shape = draws.shape();
    let app = if on_loop {
        let per_s = match role {
            // Without collections the loop carries half as much again as the heap lets it, or more.
            Role::Heap => aim_per_s * draws.log_uniform(1.5, 4.0),
            _ => ceiling(Role::EventLoop, draws),
        };
        part(Role::EventLoop, 1.0, 1.0 / per_s)
    } else {
        cores(Role::AppCpu, ceiling(Role::AppCpu, draws), draws)
    };
    let app = draft.add(app);
    draft.visit(app, 0.5, app_shape, true);

    if role == Role::Redis || draws.chance(0.5) {
        let redis = draft.add(part(Role::Redis, 1.0, 1.0 / ceiling(Role::Redis, draws)));
        let shape = draws.pick(&[Shape::Constant, Shape::Exponential]);
        let visits = draws.count(1, 2);
        for _ in 0..visits {
            draft.steps.push(Step::Delay(Time { mean_s: 0.0003, shape: Shape::Exponential }));
            draft.visit(redis, 1.0 / f64::from(visits), shape, false);
        }
    }
    let with_pool = matches!(role, Role::Pool | Role::DbCpu) || draws.chance(0.8);
    let lock = (role == Role::Lock || draws.chance(0.35))
        .then(|| draft.add(part(Role::Lock, 1.0, 1.0 / ceiling(Role::Lock, draws))));
    let lock_inside = lock.filter(|_| with_pool && draws.chance(0.5));
    if let Some(lock) = lock.filter(|_| lock_inside.is_none()) {
        let shape = draws.shape();
        draft.visit(lock, 1.0, shape, false);
    }
    let guarded = if with_pool {
        let db = cores(Role::DbCpu, ceiling(Role::DbCpu, draws), draws);
        Some(guard(&mut draft, role, ceiling(Role::Pool, draws), db, lock_inside, draws)?)
    } else {
        None
    };
    draft.visit(app, 0.5, app_shape, false);
    draft.steps.extend(threads.map(Step::Give));
    let inside = role == Role::DbCpu || role == Role::Lock && lock_inside.is_some();
    finish(draft, role, near, aim_per_s, guarded, inside, draws)
}

/// The pool and what it guards; requests per second that its slots get out of that.
fn guard(
    draft: &mut Draft,
    role: Role,
    ceiling_per_s: f64,
    db: Part,
    lock: Option<usize>,
    draws: &mut Draws,
) -> Option<f64> {
    let lock_s = lock.map_or(0.0, |lock| draft.parts[lock].demand_s);
    let served_s = db.demand_s + lock_s;
    let (slots, away_s) = if role == Role::Pool {
        let slots = draws.count(2, SLOTS_MAX);
        (slots, f64::from(slots) / ceiling_per_s - served_s)
    } else {
        let away_s = draws.log_uniform(0.0002, 0.06);
        (((ceiling_per_s * (away_s + served_s)).ceil() as u32).max(2), away_s)
    };
    let hold_s = away_s + served_s;
    if away_s < 0.1 * hold_s && role == Role::Pool || slots > SLOTS_MAX {
        return None;
    }
    if !(HOLDS_S.0..=HOLDS_S.1).contains(&hold_s) {
        return None;
    }
    // With others on its cores a station is as slow as one with more to do.
    let db_s = db.demand_s * db.servers / (db.servers - db.background);
    let mut stations = vec![(db_s, db.servers as u32)];
    stations.extend(lock.map(|_| (lock_s, 1)));
    let carried = carried_per_s(slots, away_s, &stations);

    let timeout_s = draws.chance(0.3).then(|| draws.log_uniform(0.3, 3.0));
    let pool = draft.add(Part { timeout_s, ..part(Role::Pool, f64::from(slots), hold_s) });
    let db = draft.add(db);
    draft.steps.push(Step::Take(pool));
    draft.steps.push(Step::Delay(Time { mean_s: away_s, shape: draws.shape() }));
    let shape = draws.shape();
    draft.visit(db, 1.0, shape, false);
    if let Some(lock) = lock {
        let shape = draws.shape();
        draft.visit(lock, 1.0, shape, false);
    }
    draft.steps.push(Step::Give(pool));
    Some(carried)
}

/// What theory says of the parts of a system.
struct Truth {
    ceiling_per_s: f64,
    second: Role,
    margin: f64,
}

/// The ceilings of a system in which `role` should give way first, unless they are not as asked for. `carried_per_s` is what the slots of
/// its pool get out of what that guards, `inside` whether `role` is guarded by it.
fn truth(parts: &[Part], role: Role, near: bool, carried_per_s: Option<f64>, inside: bool) -> Option<Truth> {
    let own = |role: Role| parts.iter().find(|part| part.role == role).map(Part::ceiling_per_s);
    let mut ceiling_per_s = own(role)?;
    let mut pool_per_s = own(Role::Pool);
    match carried_per_s {
        // As many slots, each held longer for what stands in line behind it: that is the ceiling, if it is the pool's at all.
        Some(carried_per_s) if role == Role::Pool => {
            if !near && carried_per_s * HOLD_FLAT < ceiling_per_s {
                return None;
            }
            ceiling_per_s = carried_per_s;
        }
        Some(carried_per_s) if inside => {
            let grown = pool_per_s? / ceiling_per_s;
            if !near && (carried_per_s < GUARDED_FULL * ceiling_per_s || grown < HOLD_GROWN) {
                return None;
            }
        }
        _ => pool_per_s = carried_per_s,
    }
    let others = parts.iter().filter(|part| part.role != role);
    let ceilings = others.map(|part| match part.role {
        Role::Pool => (pool_per_s.unwrap_or(f64::INFINITY), part.role),
        of => (part.ceiling_per_s(), of),
    });
    let (next_per_s, second) = ceilings.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, role));
    let margin = next_per_s / ceiling_per_s;
    let as_asked = if near { (NEAR.0..=NEAR.1).contains(&margin) } else { margin >= CLEAR };
    as_asked.then_some(Truth { ceiling_per_s, second, margin })
}

/// Adds threads, load and truth.
fn finish(
    draft: Draft,
    role: Role,
    near: bool,
    aim_per_s: f64,
    carried_per_s: Option<f64>,
    inside: bool,
    draws: &mut Draws,
) -> Option<System> {
    let Draft { mut parts, steps } = draft;
    if let Some(threads) = parts.iter_mut().find(|part| part.role == Role::Threads) {
        // All but the first delay, which is the network's.
        threads.demand_s = steps.iter().skip(1).map(Step::mean_s).sum();
        let enough = aim_per_s * threads.demand_s * draws.log_uniform(THREADS.0, THREADS.1);
        threads.servers = enough.ceil().max(4.0);
    }
    let Truth { ceiling_per_s, second, margin } = match role {
        // The heap's ceiling is where it was put (`heap`): that of the loop, with collections, is the same.
        Role::Heap => {
            let others: Vec<Part> =
                parts.iter().filter(|part| part.role != Role::EventLoop).cloned().collect();
            let heaped = part(Role::EventLoop, 1.0, 1.0 / aim_per_s);
            truth(&[others, vec![heaped]].concat(), Role::EventLoop, near, carried_per_s, inside)?
        }
        _ => truth(&parts, role, near, carried_per_s, inside)?,
    };
    if parts.iter().any(|part| part.demand_s > DEMAND_S_MAX) {
        return None;
    }
    let think = Time {
        mean_s: draws.log_uniform(0.1, 10.0),
        shape: draws.pick(&[Shape::Constant, Shape::Exponential, Shape::Lognormal(0.5)]),
    };
    let closed = role == Role::Heap || draws.chance(0.65);
    let timed = parts.iter().any(|part| part.timeout_s.is_some());
    let mut system = System {
        load: if closed { Load::Closed(think) } else { Load::Open },
        requests_per_iteration: if closed { f64::from(draws.count(1, 4)) } else { 1.0 },
        parts,
        steps,
        heap: None,
        patience_s: draws.between(5.0, 15.0),
        retries: u32::from(timed && draws.chance(0.3)),
        ceiling_per_s,
        first: role,
        second,
        margin,
    };
    if system.saturation() < SATURATION_MIN {
        return None;
    }
    if role == Role::Heap {
        system.heap = Some(heap(&system, draws));
    }
    Some(system)
}

/// A heap whose collections take, at the load of the ceiling, what of the loop its requests leave.
fn heap(system: &System, draws: &mut Draws) -> Heap {
    let users = system.saturation();
    let limit = draws.log_uniform(256e6, 4e9);
    let live = limit * draws.between(0.92, 0.97);
    let base = limit * draws.log_uniform(0.1, 0.4);
    let pause_s = draws.log_uniform(0.01, 0.08);
    let busy = system.part(Role::EventLoop).map_or(0.0, |part| system.ceiling_per_s * part.demand_s);
    let mut heap = Heap {
        limit,
        base,
        per_user: (live - base) / users,
        garbage_per_request: 1.0,
        mark_s_per_byte: pause_s / live,
        growth: draws.between(1.3, 2.0),
        room: draws.pick(&[0.0, 0.5, 0.8]),
    };
    heap.garbage_per_request = (1.0 - busy) / heap.collecting(users, system.ceiling_per_s);
    heap
}
