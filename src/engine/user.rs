//! A virtual user: a session, perhaps a connection, and a program counter going through its journey.

use super::control::Control;
use super::part::Part;
use super::program::{Op, Program};
use super::session::Session;
use super::shard::{Link, Shard};
use super::socket::Socket;
use super::step::{Answer, StepEnd};
use super::timer::Timer;
use crate::clock::Nanos;
use crate::scenario::plan::{AtEnd, Lifetime};
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
    pub(super) last_answer: Option<Box<Answer>>,
    /// The plan's instant for the next request to send, if the plan had one.
    pub(super) intended_ns: Option<Nanos>,
    pub(super) journey: usize,
    counters: Box<[u32]>,
    prepared: bool,
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
}

/// Which list of operations of a program.
#[derive(Clone, Copy)]
enum Block {
    Once,
    Body,
}

impl User {
    pub(super) fn new(shard: &Rc<Shard>, part: &Rc<Part>, control: Rc<Control>, id: u64) -> Self {
        let journey = shard.journey_of(part, id);
        let program = &shard.programs[journey];
        Self {
            session: Session::new(&shard.plan, part.index, id),
            timer: Timer::new(shard.clock.instant(shard.clock.now())),
            connection: None,
            jar: None,
            sockets: (0..shard.plan.sockets.len()).map(|_| None).collect(),
            last_answer: None,
            intended_ns: None,
            counters: vec![0; program.counters].into_boxed_slice(),
            prepared: false,
            shard: Rc::clone(shard),
            part: Rc::clone(part),
            control,
            journey,
        }
    }

    /// A user of a closed load: iterations until it is told to leave. `fresh` gives the number of the user that follows one whose
    /// lifetime is a single iteration.
    pub(super) async fn live(mut self, fresh: impl Fn() -> u64) {
        let mut due_ns: Option<Nanos> = None;
        while !self.control.retire.get() {
            if let (Some(every), Some(last_ns)) = (self.program().pacing, due_ns) {
                let next_ns = last_ns + u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
                self.timer.until(self.shard.clock.instant(next_ns)).await;
                if self.control.retire.get() {
                    break;
                }
                due_ns = Some(next_ns);
                // A paced iteration carries the instant the pacing gave it, however late it begins.
                self.intended_ns = Some(next_ns);
            } else {
                due_ns = Some(self.shard.clock.now());
            }
            self.shard.recorder.borrow_mut().counts.planned += 1;
            if matches!(self.iteration().await, IterationEnd::Stop { .. }) {
                break;
            }
            if self.program().lifetime == Lifetime::Once && !self.control.retire.get() {
                self.begin_anew(fresh());
                due_ns = None;
            }
        }
        self.part.leave();
    }

    /// A user of an open load: one arrival, one iteration, counted as planned where it was scheduled.
    pub(super) async fn arrive(mut self, intended_ns: Nanos) {
        self.intended_ns = Some(intended_ns);
        self.connection = self.shard.idle.borrow_mut().pop();
        self.iteration().await;
        if let Some(link) = self.connection.take() {
            self.shard.keep_idle(link);
        }
        self.part.leave();
    }

    fn program(&self) -> &Program {
        &self.shard.programs[self.journey]
    }

    /// Forgets everything of the user before: a new person on a new connection.
    fn begin_anew(&mut self, id: u64) {
        let (shard, part, control) =
            (Rc::clone(&self.shard), Rc::clone(&self.part), Rc::clone(&self.control));
        *self = Self::new(&shard, &part, control, id);
    }

    async fn iteration(&mut self) -> IterationEnd {
        self.control.iteration_since.set(Some(self.shard.clock.now()));
        self.session.begin_iteration();
        self.last_answer = None;
        let mut end = IterationEnd::Completed;
        if !self.prepared {
            end = if self.program().once.is_empty() { end } else { self.block(Block::Once).await };
            if end == IterationEnd::Completed {
                self.session.keep_as_base();
                self.prepared = true;
            }
        }
        if end == IterationEnd::Completed {
            end = self.block(Block::Body).await;
        }
        self.session.iteration += 1;
        self.control.iteration_since.set(None);
        let counts = &mut self.shard.recorder.borrow_mut().counts;
        match end {
            IterationEnd::Completed | IterationEnd::Stop { failed: false } => counts.completed += 1,
            IterationEnd::Failed | IterationEnd::Stop { failed: true } => counts.failed += 1,
        }
        end
    }

    async fn block(&mut self, block: Block) -> IterationEnd {
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
            let end = match op {
                Op::Request(prepared) => self.request(&shard, prepared).await,
                Op::Think(think) => {
                    let pause = think.sample(self.session.stream());
                    let until_ns = shard.clock.now() + u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
                    self.timer.until(shard.clock.instant(until_ns)).await;
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
                            if let Some(every) = every {
                                let until_ns =
                                    shard.clock.now() + u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
                                self.timer.until(shard.clock.instant(until_ns)).await;
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
                Op::WsSend { socket, message, binary } => {
                    Box::pin(self.ws_send(&shard, *socket, message, *binary)).await
                }
                Op::WsExpect(expect) => Box::pin(self.ws_expect(&shard, expect)).await,
                Op::WsListen(listen) => Box::pin(self.ws_listen(&shard, listen)).await,
                Op::WsClose { socket } => Box::pin(self.ws_close(*socket)).await,
            };
            match end {
                StepEnd::Next => {}
                StepEnd::Failed => failed = true,
                StepEnd::GiveUp => {
                    return match self.session.exhausted {
                        Some(AtEnd::StopUser) => IterationEnd::Stop { failed },
                        Some(AtEnd::Fail | AtEnd::Recycle) => IterationEnd::Stop { failed: true },
                        None => IterationEnd::Failed,
                    };
                }
            }
        }
        if failed { IterationEnd::Failed } else { IterationEnd::Completed }
    }
}
