//! Journeys flattened into a list of operations with jumps. A user is then one loop with a program counter: its future stays
//! small however deep the scenario nests, and a step costs an index instead of a boxed call.

use super::render::Prepared;
use crate::endpoint::EndpointId;
use crate::scenario::extract::Condition;
use crate::scenario::plan::{
    Journey, Lifetime, Plan, Reconnect, SlotId, SocketId, SseExpect, SseListen, Step, StreamId, Think,
    WsExpect, WsListen, WsOpen, WsSend,
};
use crate::scenario::template::Template;
use std::rc::Rc;
use std::time::Duration;

/// Index of an operation.
pub(super) type Address = usize;

pub(super) enum Op {
    Request(Box<Prepared>),
    Think(Think),
    Set {
        slot: SlotId,
        value: Template,
    },
    /// Goes on at `otherwise` when the condition does not hold.
    Branch {
        condition: Condition,
        otherwise: Address,
    },
    Jump(Address),
    /// Picks one of the targets by cumulative weight.
    Choose {
        cumulative: Box<[u32]>,
        targets: Box<[Address]>,
    },
    RepeatBegin {
        counter: usize,
    },
    /// Counts a pass; goes back to `body` unless `until` holds or `max` passes are done.
    RepeatEnd {
        counter: usize,
        max: u32,
        until: Option<Condition>,
        every: Option<Duration>,
        body: Address,
    },
    StopUser,
    /// Shared with the sockets it opened, which may have to be opened again.
    WsOpen(Rc<WsOpen>),
    WsSend(Box<WsSend>),
    WsExpect(Box<WsExpect>),
    WsListen(Box<WsListen>),
    WsClose {
        socket: SocketId,
    },
    SseOpen(Rc<PreparedStream>),
    SseExpect(Box<SseExpect>),
    SseListen(Box<SseListen>),
    SseClose {
        stream: StreamId,
    },
}

/// The opening of an event stream, ready to be sent.
pub(super) struct PreparedStream {
    pub(super) stream: StreamId,
    pub(super) prepared: Prepared,
    pub(super) reconnect: Option<Reconnect>,
}

pub(super) struct Program {
    pub(super) once: Vec<Op>,
    pub(super) body: Vec<Op>,
    /// Counters that nested `repeat`s need at the same time.
    pub(super) counters: usize,
    pub(super) pacing: Option<Duration>,
    pub(super) lifetime: Lifetime,
    /// It opens WebSockets or event streams.
    pub(super) has_lines: bool,
    /// Some condition reads the answer before it, so a user has to keep that.
    pub(super) reads_last_answer: bool,
}

impl Program {
    /// Every socket this journey opens, with the endpoint its handshake is recorded under.
    pub(super) fn opened_sockets(&self) -> impl Iterator<Item = (SocketId, EndpointId)> {
        self.once.iter().chain(&self.body).filter_map(|op| match op {
            Op::WsOpen(open) => Some((open.socket, open.endpoint)),
            _ => None,
        })
    }

    /// Every event stream likewise.
    pub(super) fn opened_streams(&self) -> impl Iterator<Item = (StreamId, EndpointId)> {
        self.once.iter().chain(&self.body).filter_map(|op| match op {
            Op::SseOpen(open) => Some((open.stream, open.prepared.request.endpoint)),
            _ => None,
        })
    }
}

/// What requests need of the target to be rendered ahead.
pub(super) struct Site<'a> {
    pub(super) plan: &'a Plan,
    pub(super) host_header: &'a str,
    pub(super) prefix: &'a str,
    pub(super) tls: bool,
}

pub(super) fn compile(journey: &Journey, site: &Site<'_>) -> Program {
    let mut compiler = Compiler { site, depth: 0, counters: 0, ops: Vec::new() };
    compiler.steps(&journey.once_per_user);
    let once = std::mem::take(&mut compiler.ops);
    compiler.steps(&journey.steps);
    let body = compiler.ops;
    let reads = |op: &Op| match op {
        Op::Branch { condition, .. } | Op::RepeatEnd { until: Some(condition), .. } => {
            condition.reads_response()
        }
        _ => false,
    };
    Program {
        has_lines: once.iter().chain(&body).any(|op| matches!(op, Op::WsOpen(_) | Op::SseOpen(_))),
        reads_last_answer: once.iter().chain(&body).any(reads),
        once,
        body,
        counters: compiler.counters,
        pacing: journey.pacing,
        lifetime: journey.lifetime,
    }
}

struct Compiler<'a> {
    site: &'a Site<'a>,
    depth: usize,
    counters: usize,
    ops: Vec<Op>,
}

impl Compiler<'_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Request(request) => self.ops.push(Op::Request(Box::new(Prepared::new(request, self.site)))),
            Step::Think(think) => self.ops.push(Op::Think(think.clone())),
            Step::Set { slot, value } => self.ops.push(Op::Set { slot: *slot, value: value.clone() }),
            Step::If { condition, then, otherwise } => {
                let branch = self.ops.len();
                self.ops.push(Op::Branch { condition: condition.clone(), otherwise: 0 });
                self.steps(then);
                let skip = self.ops.len();
                self.ops.push(Op::Jump(0));
                let start = self.ops.len();
                self.steps(otherwise);
                let end = self.ops.len();
                if let Op::Branch { otherwise, .. } = &mut self.ops[branch] {
                    *otherwise = start;
                }
                self.ops[skip] = Op::Jump(end);
            }
            Step::Repeat { max, until, every, steps } => {
                let counter = self.depth;
                self.depth += 1;
                self.counters = self.counters.max(self.depth);
                self.ops.push(Op::RepeatBegin { counter });
                let body = self.ops.len();
                self.steps(steps);
                self.ops.push(Op::RepeatEnd {
                    counter,
                    max: *max,
                    until: until.clone(),
                    every: *every,
                    body,
                });
                self.depth -= 1;
            }
            Step::Choose { weights, branches } => self.choose(weights, branches),
            Step::StopUser => self.ops.push(Op::StopUser),
            Step::WsOpen(open) => self.ops.push(Op::WsOpen(Rc::new(open.as_ref().clone()))),
            Step::WsSend(send) => self.ops.push(Op::WsSend(send.clone())),
            Step::WsExpect(expect) => self.ops.push(Op::WsExpect(expect.clone())),
            Step::WsListen(listen) => self.ops.push(Op::WsListen(listen.clone())),
            Step::WsClose { socket } => self.ops.push(Op::WsClose { socket: *socket }),
            Step::SseOpen(open) => self.ops.push(Op::SseOpen(Rc::new(PreparedStream {
                stream: open.stream,
                prepared: Prepared::new(&open.request, self.site),
                reconnect: open.reconnect,
            }))),
            Step::SseExpect(expect) => self.ops.push(Op::SseExpect(expect.clone())),
            Step::SseListen(listen) => self.ops.push(Op::SseListen(listen.clone())),
            Step::SseClose { stream } => self.ops.push(Op::SseClose { stream: *stream }),
        }
    }

    fn choose(&mut self, weights: &[u32], branches: &[Vec<Step>]) {
        let at = self.ops.len();
        self.ops.push(Op::Jump(0));
        let mut targets = Vec::with_capacity(branches.len());
        let mut exits = Vec::with_capacity(branches.len());
        for branch in branches {
            targets.push(self.ops.len());
            self.steps(branch);
            exits.push(self.ops.len());
            self.ops.push(Op::Jump(0));
        }
        let end = self.ops.len();
        for exit in exits {
            self.ops[exit] = Op::Jump(end);
        }
        let cumulative = weights
            .iter()
            .scan(0u32, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        self.ops[at] = Op::Choose { cumulative, targets: targets.into() };
    }
}
