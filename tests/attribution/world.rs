//! The discrete-event simulation of one level: users or arrivals go through the steps of a system for some seconds, and every second
//! somebody looks at its resources.

use super::calendar::Calendar;
use super::draws::{Draws, Shape, Time};
use super::place::{Cores, Seen, Slots};
use super::system::{Load, Step, System};

/// Places a request may hold at once; it remembers when it got each.
const PLACES_MAX: usize = 8;
/// How often it is looked for users whose patience has ended.
const SWEEP_S: f64 = 0.25;
/// At this share of its limit a heap has no room left and a request of it fails.
const HEAP_FULL: f64 = 0.995;

/// One look at everything, at a whole second.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub parts: Vec<Seen>,
    pub heap_used: f64,
    /// Requests that clients wait for, and those that ended since the start.
    pub in_flight: f64,
    pub ended: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub at_s: f64,
    pub response_s: f64,
    pub ok: bool,
}

/// What came of a level: a look at each second from 0 on.
#[derive(Debug)]
pub(crate) struct Trial {
    pub looks: Vec<Look>,
    pub ended: Vec<Ended>,
    /// Integral of the requests in flight over the judged seconds.
    pub in_flight_s: f64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A user has thought.
    Begin,
    Arrive,
    Go(u32),
    Depart(usize, u32),
    Expire(u32, u32),
    Sweep,
    Look,
}

#[derive(Clone, Copy, Debug, Default)]
struct Job {
    begun_s: f64,
    step: usize,
    /// Which of its waits it is in, or was in last; never begins anew, so that an old time-out is recognized.
    wait: u32,
    waits: bool,
    asked_s: f64,
    got_s: [f64; PLACES_MAX],
    /// Its client waits for it.
    awaited: bool,
    alive: bool,
    failed: bool,
    retries: u32,
}

enum Place {
    Slots(Slots),
    Cores(Cores),
}

struct World<'s> {
    system: &'s System,
    draws: Draws,
    users: f64,
    rate_per_s: f64,
    now_s: f64,
    settle_s: f64,
    calendar: Calendar<What>,
    jobs: Vec<Job>,
    idle: Vec<u32>,
    places: Vec<Place>,
    /// Where a request begins anew.
    again: usize,
    garbage: f64,
    trigger: f64,
    in_flight: f64,
    in_flight_since_s: f64,
    count: f64,
    trial: Trial,
}

/// Runs `level` users (or arrivals per second): `settle_s` that are not counted, then `judged_s`.
pub(crate) fn run(system: &System, level: f64, settle_s: f64, judged_s: f64, draws: Draws) -> Trial {
    let places = system.parts.iter().map(|part| match part.shared {
        true => Place::Cores(Cores::new(part.servers - part.background)),
        false => Place::Slots(Slots::new(part.servers as u32)),
    });
    let closed = matches!(system.load, Load::Closed(_));
    let users = if closed { level.round() } else { 0.0 };
    let mut world = World {
        system,
        draws,
        users,
        rate_per_s: level,
        now_s: 0.0,
        settle_s,
        calendar: Calendar::new(),
        jobs: Vec::new(),
        idle: Vec::new(),
        places: places.collect(),
        again: system.again(),
        garbage: 0.0,
        trigger: system.heap.as_ref().map_or(0.0, |heap| heap.trigger(heap.live(users))),
        in_flight: 0.0,
        in_flight_since_s: 0.0,
        count: 0.0,
        trial: Trial { looks: Vec::new(), ended: Vec::new(), in_flight_s: 0.0 },
    };
    world.open();
    world.go(settle_s + judged_s);
    world.trial
}

impl World<'_> {
    /// Users begin where a level leaves them in the long run, so that it needs no time to fill: as many think as the throughput keeps
    /// thinking, the others ask at once.
    fn open(&mut self) {
        self.calendar.push(0.0, What::Look);
        self.calendar.push(SWEEP_S, What::Sweep);
        let Load::Closed(think) = self.system.load else {
            self.calendar.push(self.draws.exponential() / self.rate_per_s, What::Arrive);
            return;
        };
        let thinking = self.system.ceiling_per_s * think.mean_s / self.users;
        let mut user = 0.0;
        while user < self.users {
            let thinks = self.draws.chance(thinking);
            let left_s = match think.shape {
                _ if !thinks => self.draws.unit(),
                Shape::Exponential => self.draws.time(think),
                // Who is met in a long thought is met more often: its length counts twice, and s^2 is what that adds to the logarithm.
                Shape::Lognormal(sigma) => self.draws.unit() * self.draws.time(think) * (sigma * sigma).exp(),
                Shape::Constant => self.draws.unit() * think.mean_s,
            };
            self.calendar.push(left_s, What::Begin);
            user += 1.0;
        }
    }

    fn go(&mut self, until_s: f64) {
        while let Some(next) = self.calendar.pop() {
            if next.at > until_s + SWEEP_S {
                break;
            }
            self.now_s = next.at;
            match next.what {
                What::Begin => self.begin(),
                What::Arrive => {
                    let gap_s = self.draws.exponential() / self.rate_per_s;
                    self.calendar.push(self.now_s + gap_s, What::Arrive);
                    self.begin();
                }
                What::Go(job) => {
                    self.jobs[job as usize].step += 1;
                    self.proceed(job);
                }
                What::Depart(place, epoch) => self.depart(place, epoch),
                What::Expire(job, wait) => self.expire(job, wait),
                What::Sweep => self.sweep(),
                What::Look => {
                    self.look();
                    if self.now_s >= until_s {
                        break;
                    }
                }
            }
        }
    }

    fn begin(&mut self) {
        let index = match self.idle.pop() {
            Some(index) => index,
            None => {
                self.jobs.push(Job::default());
                self.jobs.len() as u32 - 1
            }
        };
        let job = &mut self.jobs[index as usize];
        *job = Job {
            begun_s: self.now_s,
            wait: job.wait,
            awaited: true,
            alive: true,
            retries: self.system.retries,
            ..Job::default()
        };
        self.flight(1.0);
        self.proceed(index);
    }

    /// From its step on until it has to wait for something.
    fn proceed(&mut self, index: u32) {
        loop {
            let at = self.jobs[index as usize].step;
            if at == self.system.steps.len() {
                return self.end(index);
            }
            match self.system.steps[at] {
                Step::Delay(time) | Step::Stay(time) => return self.later(index, time, 0.0),
                Step::Run(time) => {
                    let pause_s = self.allocate(index);
                    return self.later(index, time, pause_s);
                }
                Step::Share(place, time) => {
                    let work_s = self.draws.time(time);
                    if let Place::Cores(cores) = &mut self.places[place] {
                        cores.begin(self.now_s, index, work_s);
                    }
                    return self.announce(place);
                }
                Step::Take(place) => {
                    if !self.take(index, place) {
                        return;
                    }
                }
                Step::Give(place) => self.give(index, place),
            }
            self.jobs[index as usize].step += 1;
        }
    }

    fn later(&mut self, job: u32, time: Time, pause_s: f64) {
        let at_s = self.now_s + pause_s + self.draws.time(time);
        self.calendar.push(at_s, What::Go(job));
    }

    fn take(&mut self, index: u32, place: usize) -> bool {
        let job = &mut self.jobs[index as usize];
        job.wait = job.wait.wrapping_add(1);
        let Place::Slots(slots) = &mut self.places[place] else { return true };
        if slots.take(self.now_s, index, job.wait) {
            job.got_s[place] = self.now_s;
            return true;
        }
        job.waits = true;
        job.asked_s = self.now_s;
        if let Some(timeout_s) = self.system.parts[place].timeout_s {
            self.calendar.push(self.now_s + timeout_s, What::Expire(index, job.wait));
        }
        false
    }

    fn give(&mut self, index: u32, place: usize) {
        let held_s = self.now_s - self.jobs[index as usize].got_s[place];
        let Place::Slots(slots) = &mut self.places[place] else { return };
        slots.seen.hold_s += held_s;
        let jobs = &self.jobs;
        let still = |job: u32, wait: u32| jobs[job as usize].waits && jobs[job as usize].wait == wait;
        let Some(next) = slots.give(self.now_s, still) else { return };
        let job = &mut self.jobs[next as usize];
        slots.seen.wait_s += self.now_s - job.asked_s;
        job.waits = false;
        job.got_s[place] = self.now_s;
        job.step += 1;
        self.proceed(next);
    }

    fn announce(&mut self, place: usize) {
        let Place::Cores(cores) = &mut self.places[place] else { return };
        if let Some(at_s) = cores.next_s() {
            self.calendar.push(at_s, What::Depart(place, cores.epoch));
        }
    }

    fn depart(&mut self, place: usize, epoch: u32) {
        let Place::Cores(cores) = &mut self.places[place] else { return };
        if cores.epoch != epoch {
            return;
        }
        let done = cores.end(self.now_s);
        self.announce(place);
        if let Some(job) = done {
            self.jobs[job as usize].step += 1;
            self.proceed(job);
        }
    }

    /// What a request allocates may set off a collection, during which the loop it is on stands still.
    fn allocate(&mut self, job: u32) -> f64 {
        let Some(heap) = &self.system.heap else { return 0.0 };
        let live = heap.live(self.users);
        self.garbage += heap.garbage_per_request;
        if live > heap.limit * HEAP_FULL {
            self.jobs[job as usize].failed = true;
        }
        if live + self.garbage < self.trigger {
            return 0.0;
        }
        self.garbage = 0.0;
        self.trigger = heap.trigger(live);
        heap.mark_s_per_byte * live
    }

    /// Who gives up does without what the slot was for, unless it tries once more.
    fn expire(&mut self, index: u32, wait: u32) {
        let job = &mut self.jobs[index as usize];
        if !job.waits || job.wait != wait {
            return;
        }
        let Step::Take(place) = self.system.steps[job.step] else { return };
        job.waits = false;
        if let Place::Slots(slots) = &mut self.places[place] {
            slots.give_up(self.now_s);
        }
        if job.retries > 0 {
            job.retries -= 1;
            job.step = self.again;
        } else {
            job.failed = true;
            while !matches!(self.system.steps[job.step], Step::Give(given) if given == place) {
                job.step += 1;
            }
            job.step += 1;
        }
        self.proceed(index);
    }

    fn end(&mut self, index: u32) {
        let job = self.jobs[index as usize];
        self.jobs[index as usize].alive = false;
        self.idle.push(index);
        if job.awaited {
            self.answer(self.now_s - job.begun_s, !job.failed);
        }
    }

    fn answer(&mut self, response_s: f64, ok: bool) {
        self.flight(-1.0);
        self.count += 1.0;
        self.trial.ended.push(Ended { at_s: self.now_s, response_s, ok });
        if let Load::Closed(think) = self.system.load {
            let thought_s = self.draws.time(think);
            self.calendar.push(self.now_s + thought_s, What::Begin);
        }
    }

    fn flight(&mut self, by: f64) {
        let from_s = self.in_flight_since_s.max(self.settle_s);
        if self.now_s > from_s {
            self.trial.in_flight_s += self.in_flight * (self.now_s - from_s);
        }
        self.in_flight_since_s = self.now_s;
        self.in_flight += by;
    }

    fn sweep(&mut self) {
        self.calendar.push(self.now_s + SWEEP_S, What::Sweep);
        let mut index = 0;
        while index < self.jobs.len() {
            let job = &mut self.jobs[index];
            if job.alive && job.awaited && self.now_s - job.begun_s >= self.system.patience_s {
                job.awaited = false;
                let response_s = self.now_s - job.begun_s;
                self.answer(response_s, false);
            }
            index += 1;
        }
    }

    fn look(&mut self) {
        self.calendar.push(self.now_s + 1.0, What::Look);
        self.flight(0.0);
        let now_s = self.now_s;
        let parts = self.places.iter_mut().map(|place| match place {
            Place::Slots(slots) => slots.look(now_s),
            Place::Cores(cores) => cores.look(now_s),
        });
        let parts = parts.collect();
        let heap_used = self
            .system
            .heap
            .as_ref()
            .map_or(0.0, |heap| (heap.live(self.users) + self.garbage).min(heap.limit));
        self.trial.looks.push(Look { parts, heap_used, in_flight: self.in_flight, ended: self.count });
    }
}
