//! A shard: one thread, one current-thread runtime, and everything its users share. Once a second it hands its window to its
//! agent; it never waits for it.

use super::beats::Beats;
use super::pacer::Pacer;
use super::part::{Model, Part};
use super::program::{Program, Site, compile};
use super::render::without_port;
use super::route::Route;
use super::sharing::Sharing;
use super::tap::Tap;
use super::window::Window;
use super::{closed, open};
use crate::clock::{Clock, Nanos};
use crate::endpoint::EndpointId;
use crate::limits::{AGENT_SILENCE_MAX, IDLE_CONNECTIONS_MAX, LOOP_LAG_INTERVAL, RENTED_BUFFERS_MAX};
use crate::load::{mix, share::Share};
use crate::measure::recorder::Recorder;
use crate::measure::sample::{Outcome, Sample};
use crate::measure::snapshot::Snapshot;
use crate::scenario::plan::{Plan, SocketId, StreamId};
use crate::transport::{self, Buffers, Connection, Handshake, TransportError};
use crate::units::NANOS_PER_S;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

/// Everything a shard needs to begin.
pub struct Setup {
    pub plan: Arc<Plan>,
    pub share: Share,
    pub clock: Clock,
    pub http: Option<Route>,
    pub ws: Option<Route>,
    /// Of one response in so many it is known how late it was read. [`READ_ERROR_ONE_IN`](crate::transport::READ_ERROR_ONE_IN) unless who measures the generator wants to know of all.
    pub read_error_one_in: u32,
}

/// What a shard is told while it runs. All shards get the same words, so their curves stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// From `at_ns` of the run on, take the part's curve to `value` over `over_ns` and hold it there.
    Steer { part: usize, at_ns: Nanos, value: f64, over_ns: u64 },
    /// Ask for no more load; let what runs end within the graceful stop.
    Drain,
    /// End at once; what runs is counted as interrupted.
    Abort,
}

/// What a shard tells, and what an agent tells of all its shards.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    Snapshot(Box<Snapshot>),
    /// The last word, after the last snapshot.
    Ended,
    /// The shard could not go on; its users are counted as interrupted in the snapshot before.
    Failed(String),
    /// Said of an agent that can say nothing any more: its process is gone.
    Lost(String),
}

pub(super) struct Shard {
    pub(super) plan: Arc<Plan>,
    pub(super) share: Share,
    pub(super) clock: Clock,
    pub(super) programs: Vec<Program>,
    pub(super) http: Option<Route>,
    pub(super) ws: Option<Route>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) buffers: Buffers,
    /// Rendered bodies, before their length is known.
    pub(super) scratch: Cell<Vec<u8>>,
    /// Connections that open arrivals hand on, or users who share take from, the most recently used first.
    pub(super) idle: RefCell<Vec<Link>>,
    pub(super) sharing: Rc<Sharing>,
    /// The precise timer of paced users; `None` where nobody is paced, or no descriptor was left for it.
    pub(super) beats: Option<Beats>,
    pub(super) aborted: Cell<bool>,
    /// Only a trace has one.
    pub(super) tap: Option<Box<Tap>>,
    pub(super) sockets: Rc<Cell<u64>>,
    /// Connections asked for so far.
    connected: Cell<u64>,
    /// By [`SocketId`].
    socket_endpoints: Vec<EndpointId>,
    /// By [`StreamId`].
    stream_endpoints: Vec<EndpointId>,
    rented: RefCell<Vec<Vec<u8>>>,
    pub(super) parts: Vec<Rc<Part>>,
}

/// A connection that is counted while it is open.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) open: OpenSocket,
    /// What was asked on it last: what the server says after that belongs there.
    pub(super) last: EndpointId,
}

/// Counts a socket from its opening to its drop, so that opened − closed is what is open.
pub(super) struct OpenSocket(Rc<Cell<u64>>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Why a request has no answer, with what is known of its timing.
pub(super) struct NoAnswer {
    pub(super) outcome: Outcome,
    pub(super) text: String,
    /// From when its service time counts; `None` if it never got as far.
    pub(super) since_ns: Option<Nanos>,
    /// It was counted as sent.
    pub(super) sent: bool,
}

impl NoAnswer {
    pub(super) fn unsent(outcome: Outcome, text: String) -> Self {
        Self { outcome, text, since_ns: None, sent: false }
    }
}

/// Runs a shard to its end on the calling thread.
pub fn run(setup: Setup, commands: mpsc::UnboundedReceiver<Command>, reports: mpsc::Sender<Report>) {
    // A local runtime schedules users itself; a `LocalSet` inside another one would be a second scheduler between them and the reactor.
    let built =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            let text = format!("cannot start a shard's runtime: {error}");
            // Without a reader there is nobody left to tell.
            let _ = reports.blocking_send(Report::Failed(text));
            return;
        }
    };
    runtime.block_on(Shard::run(setup, commands, reports));
}

impl Shard {
    pub(super) fn new(setup: Setup) -> Self {
        let plan = Arc::clone(&setup.plan);
        let empty = (String::new(), String::new());
        let (host, prefix) = setup
            .http
            .as_ref()
            .map_or(empty, |route| (route.address.host_header.clone(), route.prefix.clone()));
        let tls = setup.http.as_ref().is_some_and(|route| route.address.tls.is_some());
        let site = Site { plan: &plan, host_header: &host, prefix: &prefix, tls };
        let programs: Vec<Program> = plan.journeys.iter().map(|journey| compile(journey, &site)).collect();
        let mut socket_endpoints = vec![0; plan.sockets.len()];
        for (socket, endpoint) in programs.iter().flat_map(Program::opened_sockets) {
            socket_endpoints[usize::from(socket)] = endpoint;
        }
        let mut stream_endpoints = vec![0; plan.streams.len()];
        for (stream, endpoint) in programs.iter().flat_map(Program::opened_streams) {
            stream_endpoints[usize::from(stream)] = endpoint;
        }
        let parts = plan
            .load
            .iter()
            .enumerate()
            .map(|(index, part)| Rc::new(Part::new(index, part, &plan.journeys)))
            .collect();
        Self {
            programs,
            socket_endpoints,
            stream_endpoints,
            parts,
            share: setup.share,
            clock: setup.clock,
            http: setup.http.map(Route::for_shard),
            ws: setup.ws.map(Route::for_shard),
            recorder: RefCell::new(Recorder::new(setup.plan.endpoints.len())),
            buffers: Buffers::sampling(setup.read_error_one_in),
            scratch: Cell::default(),
            idle: RefCell::default(),
            sharing: Rc::new(Sharing::new(plan.target.http_version, tls)),
            beats: None,
            aborted: Cell::new(false),
            tap: None,
            sockets: Rc::default(),
            connected: Cell::new(0),
            rented: RefCell::default(),
            plan: setup.plan,
        }
    }

    /// A shard that nothing steers, for one user with an ear on it.
    pub(super) fn traced(setup: Setup, tap: Tap) -> Self {
        Self { tap: Some(Box::new(tap)), ..Self::new(setup) }
    }

    pub(super) fn part(&self, index: usize) -> Option<Rc<Part>> {
        self.parts.get(index).cloned()
    }

    pub(super) async fn run(
        setup: Setup,
        mut commands: mpsc::UnboundedReceiver<Command>,
        reports: mpsc::Sender<Report>,
    ) {
        let mut shard = Self::new(setup);
        let paced = shard.plan.journeys.iter().any(|journey| journey.pacing.is_some());
        let pacer = if paced { Pacer::new(shard.clock).ok() } else { None };
        shard.beats = pacer.is_some().then(|| Beats::new(shard.clock));
        let shard = Rc::new(shard);
        for part in &shard.parts {
            if let Model::Open(rules) = part.model {
                *part.census.borrow_mut() = shard.schedule_of(part, rules);
            }
        }
        let mut tasks = tokio::task::JoinSet::new();
        for part in &shard.parts {
            let (shard, part) = (Rc::clone(&shard), Rc::clone(part));
            tasks.spawn_local(async move {
                match part.model {
                    Model::Closed => {
                        closed::run(shard, part).await;
                        Ok(())
                    }
                    Model::Open(rules) => open::run(shard, part, rules).await,
                }
            });
        }
        let watch = tokio::task::spawn_local(watch_lag(Rc::clone(&shard)));
        let beating = tokio::task::spawn_local(keep_beats(Rc::clone(&shard), pacer));
        let mut window = Window::new(&shard);
        let mut failure = None;
        let (mut deaf, mut unheard) = (false, false);
        loop {
            let tick = shard.clock.instant(window.next_end_s * NANOS_PER_S);
            tokio::select! {
                // A word that has come holds for what is counted after it.
                biased;
                command = commands.recv(), if !deaf => {
                    // An agent that has gone away cannot steer, and nobody would read the result.
                    deaf = command.is_none();
                    shard.obey(command.unwrap_or(Command::Abort));
                }
                () = tokio::time::sleep_until(tick) => {
                    if !window.hand_over(&shard, &reports) && !unheard {
                        unheard = true;
                        failure.get_or_insert_with(unheard_for_long);
                        shard.obey(Command::Drain);
                    }
                }
                ended = tasks.join_next() => {
                    let why = match ended {
                        None => break,
                        Some(Ok(Ok(()))) => continue,
                        Some(Ok(Err(error))) => error.to_string(),
                        Some(Err(panic)) => format!("a load part ended by panic: {panic}"),
                    };
                    // Without one part it is another load than was asked for, and nobody is to judge it.
                    failure.get_or_insert(why);
                    shard.obey(Command::Abort);
                }
            }
        }
        // The users of a part that ended by panic are dropped at their next turn, and only then counted.
        for part in &shard.parts {
            part.emptied().await;
            // One that ended by panic has not said what became of the arrivals it did not get to.
            shard.drop_what_is_due(part);
        }
        watch.abort();
        beating.abort();
        shard.idle.borrow_mut().clear();
        shard.sharing.close();
        window.hand_over_last(&shard, &reports).await;
        // The agent may be gone already when the run was cut off; then there is nobody left to tell.
        let _ = reports.send(failure.map_or(Report::Ended, Report::Failed)).await;
    }

    fn obey(&self, command: Command) {
        match command {
            Command::Steer { part, at_ns, value, over_ns } => {
                let part = &self.parts[part];
                let at = self.settled(part, part.elapsed_ns(at_ns));
                part.curve.borrow_mut().steer(at, value, over_ns, HOLD_NS);
                part.changed.notify_one();
            }
            Command::Drain | Command::Abort => {
                self.aborted.set(self.aborted.get() || command == Command::Abort);
                for part in &self.parts {
                    part.draining.set(true);
                    part.changed.notify_one();
                }
            }
        }
    }

    pub(super) fn journey_of(&self, part: &Part, id: u64) -> usize {
        usize::from(part.mix[mix::pick(&part.weights, self.plan.seed, part.index as u64, id)].0)
    }

    /// Opens a connection to the HTTP target.
    pub(super) async fn connect(&self) -> Result<Link, TransportError> {
        let Some(route) = &self.http else { return Err(TransportError::Unreachable) };
        let (address, source) = route.lane(self.next_turn());
        if let Some(tap) = &self.tap {
            // Boxed: every user's task has room for what stands here.
            let connection = Box::pin(tap.connect(self, address, source)).await?;
            self.count_handshake(connection.handshake());
            return Ok(Link { connection, open: self.count_socket(), last: 0 });
        }
        let connection = transport::connect(address, source).await?;
        self.count_handshake(connection.handshake());
        Ok(Link { connection, open: self.count_socket(), last: 0 })
    }

    pub(super) fn count_handshake(&self, handshake: Option<Handshake>) {
        let requests = &mut self.recorder.borrow_mut().requests;
        requests.tls_handshakes += u64::from(handshake.is_some());
        requests.tls_resumed += u64::from(handshake == Some(Handshake::Resumed));
    }

    /// Connections of all shards of a run together take the lanes in turn.
    pub(super) fn next_turn(&self) -> u64 {
        self.share.id_of(self.connected.replace(self.connected.get() + 1))
    }

    pub(super) fn count_socket(&self) -> OpenSocket {
        self.sockets.set(self.sockets.get() + 1);
        self.recorder.borrow_mut().requests.connections_opened += 1;
        OpenSocket(Rc::clone(&self.sockets))
    }

    /// Host of the HTTP target without its port, as cookies know it.
    pub(super) fn http_host(&self) -> &str {
        without_port(self.http.as_ref().map_or("", |route| &route.address.host_header))
    }

    pub(super) fn http_tls(&self) -> bool {
        self.http.as_ref().is_some_and(|route| route.address.tls.is_some())
    }

    pub(super) fn reads_last_answer(&self, journey: usize) -> bool {
        self.programs[journey].reads_last_answer
    }

    /// Lends a buffer for one rendered request.
    pub(super) fn rent(&self) -> Vec<u8> {
        self.rented.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, buffer: Option<Vec<u8>>) {
        let mut rented = self.rented.borrow_mut();
        if let Some(buffer) = buffer
            && rented.len() < RENTED_BUFFERS_MAX
        {
            rented.push(buffer);
        }
    }

    /// Keeps a connection for the next arrival.
    pub(super) fn keep_idle(&self, link: Link) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(link);
        }
    }

    /// Records a request that has no answer.
    #[cold]
    pub(super) fn failed(&self, endpoint: EndpointId, intended_ns: Nanos, missed: &NoAnswer) {
        let sample = self.without_answer(endpoint, intended_ns, missed.since_ns, missed.outcome);
        let mut recorder = self.recorder.borrow_mut();
        recorder.record(&sample);
        recorder.requests.unsent += u64::from(!missed.sent);
        recorder.failure(endpoint, missed.outcome, &missed.text);
        drop(recorder);
        self.tell_failure(endpoint, missed.outcome, &missed.text);
    }

    /// Records what is wrong with a line, or with a message that nobody had asked for: it is no request, and nobody waited.
    #[cold]
    pub(super) fn failed_message(&self, endpoint: EndpointId, outcome: Outcome, text: &str) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.failed_message(endpoint);
        recorder.failure(endpoint, outcome, text);
        drop(recorder);
        self.tell_failure(endpoint, outcome, text);
    }

    /// Records a message that was waited for and did not come, from when it was asked for and from when the plan wanted that.
    #[cold]
    pub(super) fn failed_answer(
        &self,
        endpoint: EndpointId,
        intended_ns: Nanos,
        sent_ns: Nanos,
        outcome: Outcome,
        text: &str,
    ) {
        let sample = self.without_answer(endpoint, intended_ns, Some(sent_ns), outcome);
        let mut recorder = self.recorder.borrow_mut();
        recorder.record_message(&sample);
        recorder.failure(endpoint, outcome, text);
        drop(recorder);
        self.tell_failure(endpoint, outcome, text);
    }

    fn without_answer(
        &self,
        endpoint: EndpointId,
        intended_ns: Nanos,
        sent_ns: Option<Nanos>,
        outcome: Outcome,
    ) -> Sample {
        let done_ns = self.clock.now();
        let sent_ns = sent_ns.unwrap_or(done_ns);
        Sample { endpoint, intended_ns, sent_ns, done_ns, outcome, bytes_sent: 0, bytes_received: 0 }
    }

    /// The endpoint under which a socket was opened: what is wrong with the socket later is reported there.
    pub(super) fn socket_endpoint(&self, socket: SocketId) -> EndpointId {
        self.socket_endpoints.get(usize::from(socket)).copied().unwrap_or_default()
    }

    /// The same for an event stream.
    pub(super) fn stream_endpoint(&self, stream: StreamId) -> EndpointId {
        self.stream_endpoints.get(usize::from(stream)).copied().unwrap_or_default()
    }
}

/// A week: what "until the next word" means for a curve, which has an end.
const HOLD_NS: u64 = 7 * 24 * 3600 * NANOS_PER_S;

/// A coordinator that was stopped, or hangs at its disk: no rule would end the load, and nobody's ctrl-C.
fn unheard_for_long() -> String {
    let silence = AGENT_SILENCE_MAX.as_secs();
    format!("nobody made room for the record for {silence} s, so the load was ended")
}

/// How late the shard wakes for an instant it has set itself: what the generator itself may add to a latency. A precise timer, since
/// the runtime's own rounds to milliseconds and would report its rounding.
pub(super) async fn watch_lag(shard: Rc<Shard>) {
    // Without a descriptor for the timer there is nothing to watch with, and the users will soon say so themselves.
    let Ok(pacer) = Pacer::new(shard.clock) else { return };
    // The instants are fixed beforehand: a shard that stood still for a second was late for all that lie in it, not for one.
    let mut due_ns = shard.clock.now();
    loop {
        due_ns += super::step::nanos(LOOP_LAG_INTERVAL);
        if pacer.until(due_ns).await.is_err() {
            return;
        }
        shard.recorder.borrow_mut().loop_lag(shard.clock.now().saturating_sub(due_ns));
    }
}

/// Wakes paced users at their beats, where there are any.
async fn keep_beats(shard: Rc<Shard>, pacer: Option<Pacer>) {
    if let (Some(beats), Some(pacer)) = (&shard.beats, pacer) {
        beats.run(pacer).await;
    }
}
