//! A virtual user: a session, perhaps a connection, and a program counter going through its journey.

use super::control::{Beat, Control, Presence};
use super::events::Events;
use super::part::Part;
use super::program::{Op, Program};
use super::session::{Number, Session};
use super::shard::{Link, Shard};
use super::socket::Socket;
use super::step::{Answer, StepEnd, nanos};
use super::timer::Timer;
use super::trace::COMPLETED;
use crate::clock::Nanos;
use crate::limits::RECONNECT_PAUSE;
use crate::scenario::plan::{AtEnd, Connections, Lifetime};
use crate::transport::cookies::Jar;
use rand::RngExt as _;
use std::rc::Rc;

pub(super) struct User {
    pub(super) shard: Rc<Shard>,
    pub(super) part: Rc<Part>,
    pub(super) control: Rc<Control>,
    pub(super) session: Session,
    pub(super) timer: Timer,
    pub(super) connection: Option<Link>,
    pub(super) jar: Option<Box<Jar>>,
    pub(super) sockets: Box<[Option<Box<Socket>>]>,
    pub(super) streams: Box<[Option<Box<Events>>]>,
    pub(super) last_answer: Option<Box<Answer>>,
    /// The plan's instant for the next request to send, if the plan had one.
    pub(super) intended_ns: Option<Nanos>,
    pub(super) journey: usize,
    counters: Box<[u32]>,
    prepared: bool,
    /// Something took time or went over the wire in this iteration.
    pub(super) busy: bool,
    _presence: Presence,
}

/// How an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IterationEnd {
    Completed,
    Failed,
    /// The user leaves; whether the iteration had failed by then.
    Stop {
        failed: bool,
    },
    /// The iteration could not be run because the data ran out; the user leaves.
    OutOfData,
    /// The user was told to leave and had no line to go on with: the iteration counts as interrupted when the user is gone.
    Left,
}

/// Which list of operations of a program.
#[derive(Clone, Copy)]
enum Block {
    Once,
    Body,
}

impl User {
    pub(super) fn new(shard: &Rc<Shard>, part: &Rc<Part>, control: Rc<Control>, number: Number) -> Self {
        Self::on_journey(shard, part, control, number, shard.journey_of(part, number.id))
    }

    fn on_journey(
        shard: &Rc<Shard>,
        part: &Rc<Part>,
        control: Rc<Control>,
        number: Number,
        journey: usize,
    ) -> Self {
        let presence = Presence::begin(shard, part, &control);
        let program = &shard.programs[journey];
        Self {
            session: Session::new(&shard.plan, part.index, number),
            timer: Timer::new(shard.clock.instant(shard.clock.now())),
            connection: None,
            jar: None,
            sockets: (0..shard.plan.sockets.len()).map(|_| None).collect(),
            streams: (0..shard.plan.streams.len()).map(|_| None).collect(),
            last_answer: None,
            intended_ns: None,
            counters: vec![0; program.counters].into_boxed_slice(),
            prepared: false,
            busy: false,
            _presence: presence,
            shard: Rc::clone(shard),
            part: Rc::clone(part),
            control,
            journey,
        }
    }

    /// A user of a closed load: iterations until it is told to leave. Not an `async fn`: that would keep the user twice, as its argument and
    /// as its variable.
    pub(super) fn live(self) -> impl Future<Output = ()> {
        let mut user = self;
        async move { user.go_on().await }
    }

    async fn go_on(&mut self) {
        let mut beat_ns: Option<Nanos> = None;
        while self.stays() {
            let mut now = self.shard.clock.now();
            if let Some(every) = self.program().pacing {
                beat_ns = Some(match beat_ns {
                    None => now,
                    Some(last_ns) => self.next_beat(last_ns, nanos(every)).await,
                });
                // A paced iteration carries the instant the pacing gave it, however late it begins.
                self.intended_ns = beat_ns;
                #[cfg(test)]
                self.let_others_hear().await;
                if !self.stays() {
                    break;
                }
                self.control.beat.set(beat_ns.map(|at_ns| Beat { at_ns, every_ns: nanos(every) }));
                now = self.shard.clock.now();
            }
            self.shard.recorder.borrow_mut().counts.planned += 1;
            match self.iteration(now).await {
                IterationEnd::Completed | IterationEnd::Failed => {}
                IterationEnd::Stop { .. } | IterationEnd::OutOfData => {
                    // Who leaves of itself owes nothing, whether or not it is told to a moment later.
                    self.control.beat.take();
                    break;
                }
                IterationEnd::Left => break,
            }
            self.take_turns().await;
            #[cfg(test)]
            self.let_others_hear().await;
            if self.program().lifetime == Lifetime::Once && self.stays() {
                self.begin_anew();
            }
        }
    }

    /// Whether there is another iteration for this user.
    fn stays(&self) -> bool {
        // Who listens, or opens lines again, stops doing so when told to leave: its iterations would be others than those it owes.
        !self.control.retire.get() || (self.control.is_behind(&self.part) && !self.program().has_lines)
    }

    /// Waits for the next beat of the pacing. One that has passed while the user was busy is kept late rather than never, and its response time
    /// counts from the beat: what a stall kept from being asked is charged to the stall, as it is of open arrivals.
    async fn next_beat(&mut self, last_ns: Nanos, every_ns: Nanos) -> Nanos {
        let mut free_ns = self.shard.clock.now();
        let next_ns = last_ns + every_ns;
        match &self.shard.beats {
            _ if next_ns <= free_ns => {}
            Some(beats) if self.holds_nothing() => beats.until(next_ns).await,
            _ => free_ns = self.rest(next_ns).await,
        }
        if self.stays() {
            // Only from when the user was free: that the target kept it longer is not the generator's lag.
            let lag_ns = self.shard.clock.now().saturating_sub(next_ns.max(free_ns));
            self.shard.recorder.borrow_mut().dispatch_lag(lag_ns);
        }
        next_ns
    }

    /// On a virtual clock many things come about in one instant, such as the end of an iteration and the word to leave: the word is heard first
    /// then, in whichever order the tasks were woken. On a real clock nobody could tell.
    #[cfg(test)]
    async fn let_others_hear(&self) {
        if self.shard.clock.is_virtual() {
            // A local set runs 61 tasks and lets those go on that have yielded.
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// A journey that never waits must not keep the shard to itself: one that did something shares by tokio's budget, one that did
    /// nothing at all has nothing to repeat in haste.
    async fn take_turns(&mut self) {
        if self.busy {
            tokio::task::consume_budget().await;
        } else {
            self.pause(nanos(RECONNECT_PAUSE)).await;
        }
    }

    /// A user of an open load: one arrival, one iteration, counted as planned where it was scheduled.
    pub(super) fn arrive(self, intended_ns: Nanos) -> impl Future<Output = ()> {
        let mut user = self;
        async move { user.pass_through(intended_ns).await }
    }

    async fn pass_through(&mut self, intended_ns: Nanos) {
        self.intended_ns = Some(intended_ns);
        if self.shard.plan.target.connections == Connections::PerUser {
            self.connection = self.shard.idle.borrow_mut().pop();
        }
        self.iteration(self.shard.clock.now()).await;
        if let Some(link) = self.connection.take() {
            self.shard.keep_idle(link);
        }
    }

    /// One iteration, in a trace; yields how it ended.
    pub(super) async fn once(mut self) -> &'static str {
        match self.iteration(self.shard.clock.now()).await {
            IterationEnd::Completed => COMPLETED,
            IterationEnd::Failed | IterationEnd::Stop { failed: true } => "failed",
            IterationEnd::Stop { failed: false } => COMPLETED,
            IterationEnd::OutOfData => "out of data",
            IterationEnd::Left => "interrupted",
        }
    }

    /// Waits, and moves the instant the plan gave the next request by as much: a user who thinks first is not late.
    pub(super) async fn pause(&mut self, pause_ns: Nanos) {
        self.busy = true;
        if let Some(tap) = &self.shard.tap
            && tap.pause(&self.shard, pause_ns)
        {
            return;
        }
        if let Some(at) = &mut self.intended_ns {
            *at += pause_ns;
        }
        let until_ns = self.shard.clock.now() + pause_ns;
        let free_ns = self.rest(until_ns).await;
        // The instant at which somebody stops thinking is planned like an arrival.
        let lag_ns = self.shard.clock.now().saturating_sub(free_ns);
        self.shard.recorder.borrow_mut().dispatch_lag(lag_ns);
    }

    /// Waits until an instant of the run, and yields it, or a later one at which a server let go of the user. A user who holds something open
    /// reads it meanwhile.
    async fn rest(&mut self, until_ns: Nanos) -> Nanos {
        if self.holds_nothing() {
            self.timer.until(self.shard.clock.instant(until_ns)).await;
            return until_ns;
        }
        // Boxed, so that users without sockets carry no room for it.
        Box::pin(self.attend(until_ns, false)).await
    }

    fn program(&self) -> &Program {
        &self.shard.programs[self.journey]
    }

    /// Forgets everything of the user before: a new person on a new connection, who takes the place of the one before. So the journeys of a
    /// mix keep their shares of the users, and the pacing is that of the place.
    fn begin_anew(&mut self) {
        let (shard, part, control) =
            (Rc::clone(&self.shard), Rc::clone(&self.part), Rc::clone(&self.control));
        let number = part.successor(shard.share, self.session.number);
        // What the place has missed is counted when it is given up, and not with each who leaves it.
        let beat = self.control.beat.take();
        *self = Self::on_journey(&shard, &part, control, number, self.journey);
        self.control.beat.set(beat);
    }

    async fn iteration(&mut self, now: Nanos) -> IterationEnd {
        self.control.iteration_since.set(Some(now));
        self.session.begin_iteration();
        self.last_answer = None;
        self.busy = false;
        let mut end = IterationEnd::Completed;
        // What begins with a request begins it now: the clock need not be asked again.
        let mut began_ns = Some(now);
        if !self.prepared {
            end = if self.program().once.is_empty() { end } else { self.block(Block::Once, None).await };
            if !self.program().once.is_empty() {
                began_ns = None;
            }
            if end == IterationEnd::Completed {
                self.session.keep_as_base();
                self.prepared = true;
            }
        }
        if end == IterationEnd::Completed {
            end = self.block(Block::Body, began_ns).await;
        }
        self.session.iteration += 1;
        let counts = &mut self.shard.recorder.borrow_mut().counts;
        match end {
            IterationEnd::Completed | IterationEnd::Stop { failed: false } => counts.completed += 1,
            IterationEnd::Failed | IterationEnd::Stop { failed: true } => counts.failed += 1,
            IterationEnd::OutOfData => counts.dropped += 1,
            // Interrupted, at the age that it has when the user is gone.
            IterationEnd::Left => return end,
        }
        self.control.iteration_since.set(None);
        end
    }

    /// Runs a list of operations; `began_ns` is the instant it is, where that is known.
    async fn block(&mut self, block: Block, mut began_ns: Option<Nanos>) -> IterationEnd {
        let shard = Rc::clone(&self.shard);
        let program = &shard.programs[self.journey];
        let ops = match block {
            Block::Once => &program.once,
            Block::Body => &program.body,
        };
        let mut failed = false;
        let mut at = 0;
        while let Some(op) = ops.get(at) {
            at += 1;
            let now = began_ns.take();
            let end = match op {
                Op::Request(prepared) => self.request(&shard, prepared, now).await,
                Op::Think(think) => {
                    let pause = think.sample(self.session.stream());
                    self.pause(nanos(pause)).await;
                    StepEnd::Next
                }
                Op::Set { slot, value } => self.set(&shard, *slot, value),
                Op::Branch { condition, otherwise } => match self.holds(&shard, condition) {
                    Ok(true) => StepEnd::Next,
                    Ok(false) => {
                        at = *otherwise;
                        StepEnd::Next
                    }
                    Err(end) => end,
                },
                Op::Jump(to) => {
                    at = *to;
                    StepEnd::Next
                }
                Op::Choose { cumulative, targets } => {
                    let total = cumulative.last().copied().unwrap_or(0);
                    if total > 0 {
                        let pick = self.session.stream().random_range(0..total);
                        at = targets[cumulative.partition_point(|&up_to| up_to <= pick)];
                    }
                    StepEnd::Next
                }
                Op::RepeatBegin { counter } => {
                    self.counters[*counter] = 0;
                    StepEnd::Next
                }
                Op::RepeatEnd { counter, max, until, every, body } => {
                    self.counters[*counter] += 1;
                    let again = self.counters[*counter] < *max;
                    match until.as_ref().map_or(Ok(false), |until| self.holds(&shard, until)) {
                        Ok(done) if again && !done => {
                            match every {
                                Some(every) => self.pause(nanos(*every)).await,
                                None => tokio::task::consume_budget().await,
                            }
                            at = *body;
                            StepEnd::Next
                        }
                        Ok(_) => StepEnd::Next,
                        Err(end) => end,
                    }
                }
                Op::StopUser => return IterationEnd::Stop { failed },
                Op::WsOpen(open) => Box::pin(self.ws_open(&shard, open)).await,
                Op::WsSend(send) => Box::pin(self.ws_send(&shard, send)).await,
                Op::WsExpect(expect) => Box::pin(self.ws_expect(&shard, expect)).await,
                Op::WsListen(listen) => Box::pin(self.ws_listen(&shard, listen)).await,
                Op::WsClose { socket } => Box::pin(self.ws_close(*socket)).await,
                Op::SseOpen(open) => Box::pin(self.sse_open(&shard, open)).await,
                Op::SseExpect(expect) => Box::pin(self.sse_expect(&shard, expect)).await,
                Op::SseListen(listen) => Box::pin(self.sse_listen(&shard, listen)).await,
                Op::SseClose { stream } => self.sse_close(*stream),
            };
            match end {
                StepEnd::Next => {}
                StepEnd::Failed => failed = true,
                StepEnd::Leave if failed => return IterationEnd::Failed,
                StepEnd::Leave => return IterationEnd::Left,
                StepEnd::GiveUp => {
                    return match self.session.exhausted {
                        Some(AtEnd::StopUser) => IterationEnd::OutOfData,
                        Some(AtEnd::Fail | AtEnd::Recycle) | None => IterationEnd::Failed,
                    };
                }
            }
        }
        if failed { IterationEnd::Failed } else { IterationEnd::Completed }
    }
}
