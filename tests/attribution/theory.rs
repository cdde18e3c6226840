//! The simulator and the truths of the grid, held against queueing theory: what is simulated agrees with the solver and with formulas, and
//! widening the resource that is said to be first carries more, while widening any other does not.

use super::cases::ROLES;
use super::draw;
use super::draws::{Draws, Shape, Time};
use super::system::{Load, Part, Role, Step, System, solved};
use super::world::{self, Trial};

const SETTLE_S: f64 = 5.0;
const JUDGED_S: f64 = 100.0;
/// What two means of some ten thousand requests may differ by.
const TOLERANCE: f64 = 0.05;
/// Load of an intervention, over the load at which the first resource gives way. Past its limit a heap fails whatever else is wide.
const OVERLOAD: f64 = 2.5;
const HEAP_OVERLOAD: f64 = 1.2;
const WIDENED_EACH: u64 = 6;
/// Simulated and computed ceiling differ by the noise of some thousand requests, and as times are not all exponential.
const CEILING_OFF_MAX: f64 = 0.12;
/// The second ceiling lies 1.3 times as high as the first.
const FIRST_GAIN_MIN: f64 = 0.15;
/// Gain of any other, over that of the first.
const OTHER_GAIN_MAX: f64 = 0.6;

fn time(mean_s: f64, shape: Shape) -> Time {
    Time { mean_s, shape }
}

fn part(role: Role, servers: f64, demand_s: f64, shared: bool) -> Part {
    Part { role, servers, background: 0.0, shared, demand_s, timeout_s: None }
}

fn system(load: Load, parts: Vec<Part>, steps: Vec<Step>, ceiling_per_s: f64) -> System {
    System {
        load,
        requests_per_iteration: 1.0,
        parts,
        steps,
        heap: None,
        patience_s: f64::INFINITY,
        retries: 0,
        ceiling_per_s,
        first: Role::Pool,
        second: Role::DbCpu,
        margin: 1.0,
    }
}

fn per_s(trial: &Trial, judged_s: f64) -> f64 {
    trial.ended.iter().filter(|ended| ended.at_s > SETTLE_S && ended.ok).count() as f64 / judged_s
}

fn response_s(trial: &Trial) -> f64 {
    let counted = trial.ended.iter().filter(|ended| ended.at_s > SETTLE_S);
    counted.clone().map(|ended| ended.response_s).sum::<f64>() / counted.count() as f64
}

#[track_caller]
fn agree(what: &str, simulated: f64, theory: f64) {
    assert!(
        (simulated / theory - 1.0).abs() <= TOLERANCE,
        "{what}: simulated {simulated}, in theory {theory}"
    );
}

/// A pool of 5 around 12 ms elsewhere and two cores of 8 ms, behind a loop of 4 ms.
fn pooled(think_s: f64) -> System {
    let exponential = |mean_s| time(mean_s, Shape::Exponential);
    let parts = vec![
        part(Role::EventLoop, 1.0, 0.004, false),
        part(Role::Pool, 5.0, 0.02, false),
        part(Role::DbCpu, 2.0, 0.008, false),
    ];
    let mut steps = vec![Step::Take(0), Step::Stay(exponential(0.004)), Step::Give(0)];
    steps.extend([Step::Take(1), Step::Delay(exponential(0.012))]);
    steps.extend([Step::Take(2), Step::Stay(exponential(0.008)), Step::Give(2), Step::Give(1)]);
    system(Load::Closed(exponential(think_s)), parts, steps, 200.0)
}

#[test]
fn a_closed_system_carries_what_the_solver_says() {
    for users in [20, 120, 400] {
        let model = format!(
            r#"{{"users":{users},"think_s":0.5,"stations":[{{"name":"loop","demand_s":0.004}},{{"name":"away","demand_s":0.012,"servers":"delay"}},{{"name":"db","demand_s":0.008,"servers":2}}],"pools":[{{"name":"p","slots":5,"guards":["away","db"]}}]}}"#
        );
        let theory = solved(&model);
        let trial = world::run(&pooled(0.5), f64::from(users), SETTLE_S, JUDGED_S, Draws::new(7, 0, 0));
        let said = |value: Option<f64>| value.expect("a closed system has an answer");
        agree("throughput per s", per_s(&trial, JUDGED_S), said(theory.throughput_per_s));
        // The law N = X(R + Z) of what was simulated.
        let law = per_s(&trial, JUDGED_S) * (response_s(&trial) + 0.5);
        agree("users", law, f64::from(users));
        if users == 400 {
            agree("response s", response_s(&trial), said(theory.response_s));
        }
    }
}

#[test]
fn cores_that_are_shared_do_not_care_for_the_shape_of_times() {
    for shape in [Shape::Constant, Shape::Exponential, Shape::Lognormal(1.0)] {
        let parts = vec![part(Role::AppCpu, 1.0, 0.005, true)];
        let system = system(Load::Open, parts, vec![Step::Share(0, time(0.005, shape))], 200.0);
        let trial = world::run(&system, 120.0, SETTLE_S, 3.0 * JUDGED_S, Draws::new(8, 0, 0));
        // M/G/1 with processor sharing: R = S/(1 − ρ).
        agree("response s", response_s(&trial), 0.005 / (1.0 - 0.6));
    }
}

#[test]
fn a_queue_before_some_servers_is_as_long_as_erlang_says() {
    let model = r#"{"open":{"rate_per_s":100},"stations":[{"name":"s","demand_s":0.024,"servers":3}]}"#;
    let parts = vec![part(Role::AppCpu, 3.0, 0.024, false)];
    let steps = vec![Step::Take(0), Step::Stay(time(0.024, Shape::Exponential)), Step::Give(0)];
    let system = system(Load::Open, parts, steps, 125.0);
    let trial = world::run(&system, 100.0, SETTLE_S, 3.0 * JUDGED_S, Draws::new(9, 0, 0));
    agree("response s", response_s(&trial), solved(model).response_s.expect("stable"));
}

#[test]
fn what_probes_look_at_obeys_little() {
    let system = pooled(0.5);
    let trial = world::run(&system, 150.0, SETTLE_S, JUDGED_S, Draws::new(10, 0, 0));
    let (from, to) = (&trial.looks[5], &trial.looks[105]);
    for (index, part) in system.parts.iter().enumerate() {
        let (from, to) = (&from.parts[index], &to.parts[index]);
        agree("slots in use", to.busy_s - from.busy_s, to.hold_s - from.hold_s);
        agree("in line", to.waiting_s - from.waiting_s, to.wait_s - from.wait_s);
        if part.role != Role::Pool {
            agree("demand s", (to.busy_s - from.busy_s) / (to.visits - from.visits), part.demand_s);
        }
    }
    agree("in flight", trial.in_flight_s / JUDGED_S, per_s(&trial, JUDGED_S) * response_s(&trial));
}

/// Requests per second of a system with a heap at this share of its ceiling, how busy its loop is, and how busy it should be.
fn on_the_loop(system: &System, share: f64) -> (f64, f64, f64) {
    let heap = system.heap.as_ref().expect("a heap");
    let index = system.parts.iter().position(|part| part.role == Role::EventLoop).expect("a loop");
    let users = (share * system.saturation()).round();
    let trial = world::run(system, users, SETTLE_S, JUDGED_S, Draws::new(11, 0, 1));
    let per_s = per_s(&trial, JUDGED_S);
    let (from, to) = (&trial.looks[5].parts[index], &trial.looks[105].parts[index]);
    let busy = (to.busy_s - from.busy_s) / JUDGED_S;
    (per_s, busy, per_s * system.parts[index].demand_s + heap.collecting(users, per_s))
}

#[test]
fn collections_take_what_requests_leave_of_the_loop_at_the_ceiling() {
    for id in 0..5 {
        let system = draw::system(Role::Heap, false, &mut Draws::new(11, id, 0));
        let (_, busy, expected) = on_the_loop(&system, 0.8);
        agree("loop busy below the ceiling", busy, expected);
        // At the corner of the asymptotes users wait for each other already, so somewhat less is carried than where they meet.
        let (carried, busy, _) = on_the_loop(&system, 1.0);
        let share = carried / system.ceiling_per_s;
        assert!((0.75..=1.05).contains(&share) && busy >= 0.8, "{share} of the ceiling, loop busy {busy}");
    }
}

/// The system with twice as much of one part: slots, cores, or the speed of what there is one of.
fn widened(system: &System, index: usize) -> System {
    let mut wide = system.clone();
    let part = &mut wide.parts[index];
    if part.servers > 1.0 || part.role == Role::Pool || part.shared {
        part.servers = 2.0 * part.servers - part.background;
        return wide;
    }
    let mut held = false;
    for step in &mut wide.steps {
        match step {
            Step::Take(place) => held = *place == index,
            Step::Stay(time) | Step::Run(time) if held => time.mean_s /= 2.0,
            _ => {}
        }
    }
    wide
}

/// Good answers per second far above the load at which the first gives way.
fn overloaded_per_s(system: &System, seed: u64, id: u64) -> f64 {
    let users = if system.first == Role::Heap { HEAP_OVERLOAD } else { OVERLOAD } * system.saturation();
    let judged_s = (3_000.0 / system.ceiling_per_s).max(10.0);
    per_s(&world::run(system, users, SETTLE_S, judged_s, Draws::new(seed, id, 90)), judged_s)
}

/// The system without what keeps an overload short, and with users who never let it rest.
fn patient(mut system: System) -> System {
    if system.first != Role::Heap {
        system.load = Load::Closed(time(0.5, Shape::Exponential));
    }
    (system.patience_s, system.retries) = (f64::INFINITY, 0);
    system.parts.iter_mut().for_each(|part| part.timeout_s = None);
    system
}

/// The intervention that decides what a bottleneck is: each resource is doubled in turn. What is gained is a share of the first ceiling.
#[test]
fn only_the_first_resource_is_worth_widening() {
    let seed = super::seed();
    println!("PLIMSOLL_GRID_SEED={seed}");
    for id in 0..WIDENED_EACH * ROLES.len() as u64 {
        let role = ROLES[id as usize % ROLES.len()];
        let system = patient(draw::system(role, false, &mut Draws::new(seed, id, 91)));
        let carried = overloaded_per_s(&system, seed, id);
        let gain = |wide: &System| (overloaded_per_s(wide, seed, id) - carried) / system.ceiling_per_s;
        let parts = system.parts.iter().enumerate();
        let mut gains: Vec<(Role, f64)> =
            parts.map(|(index, part)| (part.role, gain(&widened(&system, index)))).collect();
        let mut wide = system.clone();
        if let Some(heap) = &mut wide.heap {
            heap.limit *= 2.0;
            gains.push((Role::Heap, gain(&wide)));
        } else {
            // A heap that is too small for its users carries nothing; all others carry their ceiling.
            // Those of a pool whose slots are held at a station with less variable times lie between that and m/D.
            let most_per_s = system.part(role).map_or(f64::INFINITY, Part::ceiling_per_s);
            assert!(
                carried >= (1.0 - CEILING_OFF_MAX) * system.ceiling_per_s
                    && carried <= (1.0 + CEILING_OFF_MAX) * most_per_s,
                "{id}: {carried}/s, in theory {}/s to {most_per_s}/s; PLIMSOLL_GRID_SEED={seed}",
                system.ceiling_per_s
            );
        }
        let first = gains.iter().find(|(of, _)| *of == role).map_or(0.0, |(_, gain)| *gain);
        let other = gains.iter().filter(|(of, _)| *of != role).map(|(_, gain)| *gain).fold(0.0, f64::max);
        let text = format!(
            "{id}: {role:?} by {:.2}: {carried:.1}/s, gains {gains:.2?}; PLIMSOLL_GRID_SEED={seed}",
            system.margin
        );
        println!("{text}");
        assert!(first >= FIRST_GAIN_MIN && other <= OTHER_GAIN_MAX * first, "{text}");
    }
}
