//! The coordinator: merges seconds, writes the record, steers levels, watches the safety rules, and ends the run. It is never in the
//! path of a request.

use super::generator::{Health, lag};
use super::guards::Guards;
use super::levels::words::Said;
use super::levels::{Act, LevelRun, acts_from_s};
use super::lost::{arrivals_of, count_lost};
use super::manifest::steered_part;
use super::observe::{self, Losses, Observed};
use super::silence::Silence;
use super::target::{self, Target};
use super::{Options, Tick, Watcher};
use crate::clock::{Clock, Nanos};
use crate::endpoint;
use crate::engine::route::Route;
use crate::engine::shard::Command;
use crate::limits::{ABORT_WAIT, SNAPSHOT_WAIT, START_DELAY, STEER_LEAD, TARGET_LOST_AFTER};
use crate::load::share::Share;
use crate::measure::failures::Failures;
use crate::measure::histogram::Histogram;
use crate::measure::snapshot::{Snapshot, add_counts, add_requests};
use crate::measure::span::Span;
use crate::record::rows::{End, Ended, Event, SaturationRow};
use crate::record::store::{Store, StoreError};
use crate::scenario::plan::{Executor, Plan};
use crate::search::controller::Search;
use crate::search::staircase::Staircase;
use crate::swarm::children::{self, Muster};
use crate::swarm::crew::{Crew, CrewReport};
use crate::threshold::Which;
use crate::units::NANOS_PER_S;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Why the loop was left.
pub(super) enum Stop {
    Store(StoreError),
    Ended(Ended),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) struct Coordinator<'w> {
    plan: Arc<Plan>,
    options: Options,
    watcher: &'w mut dyn Watcher,
    levels: Option<(usize, LevelRun)>,
    guards: Guards,
    silence: Silence,
    losses: Losses,
    health: Health,
    failures: Failures,
    interrupted_age: Histogram,
    reached_s: u64,
    /// The last second came without all of the load.
    late: bool,
    /// No more load is asked for.
    draining: bool,
    /// When that was told.
    drained_ns: Option<Nanos>,
    /// Why the load is being taken down before its time.
    ending: Option<Ended>,
    interrupted: u32,
    /// When the shards are waited for no longer, once they have been told to cut off what runs.
    give_up_at_ns: Option<Nanos>,
}

impl<'w> Coordinator<'w> {
    pub(super) fn new(plan: Arc<Plan>, options: Options, watcher: &'w mut dyn Watcher) -> Self {
        let levels = level_run(&plan);
        // A level that drives the target down fails by its goals, and the next one shows whether it comes back.
        let silent_s_max = TARGET_LOST_AFTER.as_secs() * if levels.is_some() { 2 } else { 1 };
        Self {
            levels,
            guards: Guards::new(&plan),
            health: Health::new(&plan),
            silence: Silence::new(silent_s_max),
            losses: Losses::default(),
            plan,
            options,
            watcher,
            failures: Failures::default(),
            interrupted_age: Histogram::new(),
            reached_s: 0,
            late: false,
            draining: false,
            drained_ns: None,
            ending: None,
            interrupted: 0,
            give_up_at_ns: None,
        }
    }

    pub(super) async fn run(mut self, store: &mut Store) -> Result<Ended, Stop> {
        let nobodys = mpsc::unbounded_channel().1;
        let mut interrupts = std::mem::replace(&mut self.options.interrupts, nobodys);
        let prepared = tokio::select! {
            prepared = target::prepare(&self.plan, &self.options) => prepared,
            Some(()) = interrupts.recv() => {
                let reason = "interrupted by the user before the load began".to_owned();
                self.event(store, 0, "run", &reason)?;
                return Ok(Ended { how: End::Interrupted, reason });
            }
        };
        self.options.interrupts = interrupts;
        let mut target = match prepared {
            Ok(target) => target,
            Err(error) => {
                let ended = Ended { how: End::TargetLost, reason: error.to_string() };
                self.event(store, 0, "target", &ended.reason)?;
                return Ok(ended);
            }
        };
        store.manifest.target.clone_from(&target.label);
        store.write_manifest()?;
        self.watcher.started(&target.label, store.dir());

        let (mut crew, clock) =
            self.crew(&target).await.map_err(|reason| Stop::Ended(Ended { how: End::Error, reason }))?;
        let mut observed = observe::start(&self.plan.observe, &target, clock);
        self.event(store, 0, "run", &format!("load on {} begins, seed {}", target.label, self.plan.seed))?;
        if let Some((part, levels)) = &mut self.levels {
            let start_ns = self.plan.load[*part].start.as_nanos() as Nanos;
            let acts = levels.start(start_ns.div_ceil(NANOS_PER_S));
            self.act(store, &crew, acts, clock)?;
        }
        let result = self.watch(store, &mut target, &mut crew, &mut observed, clock).await;
        crew.tell(Command::Abort);
        let failure = result?;
        let (generator, warnings) = self.health.judge(self.size());
        store.manifest.progress.generator = generator;
        store.manifest.progress.warnings.extend(warnings);
        store.manifest.progress.warnings.extend(self.losses.warning());
        let ended = failure.or(self.ending.take()).unwrap_or_else(|| Ended {
            how: End::Completed,
            reason: "the load came to its planned end".into(),
        });
        self.event(store, self.reached_s, "run", &ended.reason)?;
        Ok(ended)
    }

    /// The members that carry the load, and the clock they all go by.
    async fn crew(&self, target: &Target) -> Result<(Crew, Clock), String> {
        let (agents, shards) = self.size();
        if agents > 1 {
            let muster = Muster {
                executable: &self.options.executable,
                recipe: &self.plan.recipe,
                agents,
                shards,
                http: target.http.clone(),
                ws: target.ws.clone(),
            };
            return children::start(muster).await.map_err(|error| error.to_string());
        }
        let route = |destination: &Option<_>| {
            let route = destination.as_ref().map(|destination| Route::to(destination, &self.plan.target));
            route.transpose().map_err(|error| error.to_string())
        };
        let routes = (route(&target.http)?, route(&target.ws)?);
        let clock = Clock::starting_in(START_DELAY);
        Crew::of_shards(&self.plan, Share::WHOLE, shards, clock, routes)
            .map(|crew| (crew, clock))
            .map_err(|error| format!("cannot start the shards: {error}"))
    }

    /// Agents, and shards of each.
    fn size(&self) -> (u32, u32) {
        (self.options.agents.max(1), self.options.shards.max(1))
    }

    /// The loop of a run; yields why a shard could not go on, if one could not.
    async fn watch(
        &mut self,
        store: &mut Store,
        target: &mut Target,
        crew: &mut Crew,
        observed: &mut mpsc::Receiver<Observed>,
        clock: Clock,
    ) -> Result<Option<Ended>, Stop> {
        let (mut deaf, mut blind, mut dead, mut gave_up) = (false, false, false, false);
        let mut failure = None;
        loop {
            let give_up_at = clock.instant(self.give_up_at_ns.unwrap_or_default());
            tokio::select! {
                report = crew.next() => match report {
                    CrewReport::Second(second) => self.second(store, crew, &second, clock)?,
                    CrewReport::Failed(text) => {
                        failure.get_or_insert(Ended { how: End::Error, reason: text });
                        self.cut_off(crew, clock);
                    }
                    CrewReport::Lost { member, reached_ns, text } => {
                        self.event(store, self.reached_s, "agent", &text)?;
                        let until_ns = self.drained_ns.unwrap_or_else(|| clock.now());
                        let untold = arrivals_of(&self.plan, member, self.size(), reached_ns..until_ns);
                        store.manifest.progress.counts.planned += untold;
                        failure.get_or_insert(Ended { how: End::AgentLost, reason: text });
                        // What the others have under way may finish; only what the lost one had cannot.
                        self.drain(crew, clock);
                    }
                    CrewReport::Ended => {
                        if failure.is_some() {
                            count_lost(&mut store.manifest.progress.counts);
                        }
                        return Ok(failure);
                    }
                },
                heard = observed.recv(), if !blind => match heard {
                    Some(Observed::Readings { rows, stands_for }) => self.readings(store, rows, stands_for)?,
                    Some(Observed::Said(text)) => self.event(store, self.reached_s, "probe", &text)?,
                    Some(Observed::Lost(loss)) => self.losses.count(loss),
                    None => blind = true,
                },
                asked = self.options.interrupts.recv(), if !deaf => match asked {
                    Some(()) => self.interrupt(store, crew, clock)?,
                    None => deaf = true,
                },
                text = target.died(), if !dead => {
                    dead = true;
                    self.event(store, self.reached_s, "target", &text)?;
                    self.ending.get_or_insert(Ended { how: End::TargetLost, reason: text });
                    self.cut_off(crew, clock);
                }
                () = tokio::time::sleep_until(give_up_at), if self.give_up_at_ns.is_some() && !gave_up => {
                    gave_up = true;
                    crew.give_up();
                }
            }
        }
    }

    fn second(
        &mut self,
        store: &mut Store,
        crew: &Crew,
        second: &Snapshot,
        clock: Clock,
    ) -> Result<(), Stop> {
        let begin_s = self.reached_s.min(second.end_s);
        let span_s = (second.end_s - begin_s).max(1);
        self.reached_s = second.end_s;
        if second.late && !std::mem::replace(&mut self.late, second.late) {
            let text = "a shard or an agent is silent: seconds are told without it, what it says later is added to later ones";
            self.event(store, second.end_s, "late", text)?;
        }
        self.late = second.late;
        // Of a search, only the spans that decide a level say anything about the load line.
        let judged = self.levels.as_ref().is_none_or(|(_, levels)| matches!(levels.level(), Some((_, true))));
        self.health.second(second, span_s, judged);
        self.interrupted_age.add(&second.interrupted_age);
        // As the run goes: a record that is cut off shall say what is known of its generator.
        let (generator, _) = self.health.judge(self.size());
        self.failures.merge(&second.failures);
        let progress = &mut store.manifest.progress;
        progress.generator = generator;
        add_counts(&mut progress.counts, &second.counts);
        add_requests(&mut progress.requests, &second.requests);
        let endpoints = &self.plan.endpoints;
        progress.interrupted_age_ms = lag(&self.interrupted_age);
        progress.failures = self.failures.list(|id| endpoint::name_of(endpoints, id));
        store.second(second, begin_s)?;

        let tripped = self.guards.second(second, endpoints, span_s);
        let span = Span { snapshot: second, endpoints, seconds: span_s as f64, readings: &[] };
        let merged = span.merged(Which::Response, None, None);
        let quantile = |q: f64| merged.as_ref().map_or(0.0, |merged| merged.quantile_ns(q) as f64 / 1e6);
        let (all, failed) = crate::threshold::Stats::requests(&span, None, None);
        let latest = self.guards.latest();
        self.watcher.second(&Tick {
            t_s: second.end_s,
            end_s: planned_end_s(&self.plan),
            level: self.levels.as_ref().and_then(|(_, levels)| levels.level()),
            users: second.users,
            completed_per_s: (all - failed) as f64 / span_s as f64,
            failed_per_s: failed as f64 / span_s as f64,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            counts: &store.manifest.progress.counts,
            readings: &latest,
        });
        for text in self.guards.blind() {
            self.event(store, self.reached_s, "probe", &text)?;
        }
        if let Some(text) = tripped {
            self.take_down(store, crew, clock, End::Aborted, &format!("safety rule `{text}` was met"))?;
        }
        // Only requests: that a message found no open socket says nothing of the target.
        let answered = (all - failed) + second.requests.failed;
        self.watch_for_silence(store, crew, clock, second, answered, span_s)?;
        // Of a load that drains, for whatever reason, no level is what its name says.
        if self.ending.is_none()
            && !self.draining
            && let Some((_, levels)) = &mut self.levels
        {
            let acts = levels.second(second, acts_from_s(second.end_s, clock.now()));
            self.act(store, crew, acts, clock)?;
        }
        Ok(())
    }

    /// A target that nobody can connect to is lost. Not in a drain: what is left of the load then says nothing.
    fn watch_for_silence(
        &mut self,
        store: &mut Store,
        crew: &Crew,
        clock: Clock,
        second: &Snapshot,
        ended: u64,
        span_s: u64,
    ) -> Result<(), Stop> {
        self.draining |= planned_end_s(&self.plan).is_some_and(|end_s| second.end_s > end_s);
        if !self.draining && self.silence.span(ended, second.connect_failures, span_s) {
            let endpoints = &self.plan.endpoints;
            let most = self.failures.list(|id| endpoint::name_of(endpoints, id));
            let why = most
                .iter()
                .find(|failure| failure.kind == "connect")
                .map_or_else(String::new, |failure| format!("; `{}`: {}", failure.endpoint, failure.text));
            let text = format!("nothing could connect for {} s{why}", self.silence.held_s());
            self.take_down(store, crew, clock, End::TargetLost, &text)?;
        }
        Ok(())
    }

    fn act(&mut self, store: &mut Store, crew: &Crew, acts: Vec<Act>, clock: Clock) -> Result<(), Stop> {
        let Some(part) = self.levels.as_ref().map(|(part, _)| *part) else { return Ok(()) };
        for act in acts {
            match act {
                Act::Steer { value, over_s } => {
                    let over_ns = (over_s * NANOS_PER_S as f64) as u64;
                    let start_ns = self.plan.load[part].start.as_nanos() as Nanos;
                    let at_ns = start_ns.max(clock.now() + STEER_LEAD.as_nanos() as Nanos);
                    crew.tell(Command::Steer { part, at_ns, value, over_ns });
                }
                Act::Mark(mark) => {
                    store.manifest.levels.push(mark);
                    store.write_manifest()?;
                }
                Act::Warn(warning) => store.manifest.progress.warnings.push(warning),
                Act::Say(Said { text, fields }) => {
                    self.tell(store, self.reached_s, "search", &text, fields)?;
                }
                Act::Done => self.drain(crew, clock),
            }
        }
        Ok(())
    }

    fn readings(
        &mut self,
        store: &mut Store,
        rows: Vec<SaturationRow>,
        stands_for: Duration,
    ) -> Result<(), Stop> {
        store.readings(&rows)?;
        self.guards.readings(rows, stands_for);
        Ok(())
    }

    fn interrupt(&mut self, store: &mut Store, crew: &Crew, clock: Clock) -> Result<(), Stop> {
        self.interrupted += 1;
        if self.interrupted == 1 {
            return self.take_down(store, crew, clock, End::Interrupted, "interrupted by the user");
        }
        self.event(store, self.reached_s, "abort", "interrupted again: what is in flight is cut off")?;
        self.cut_off(crew, clock);
        Ok(())
    }

    /// Cuts off what runs. A shard that hangs meanwhile is waited for only so long.
    fn cut_off(&mut self, crew: &Crew, clock: Clock) {
        self.draining = true;
        self.drained_ns.get_or_insert_with(|| clock.now());
        let wait = SNAPSHOT_WAIT + ABORT_WAIT;
        self.give_up_at_ns.get_or_insert_with(|| clock.now() + wait.as_nanos() as Nanos);
        crew.tell(Command::Abort);
    }

    /// Ends the load before its time: no more arrivals, what is in flight may finish. The first reason stands.
    fn take_down(
        &mut self,
        store: &mut Store,
        crew: &Crew,
        clock: Clock,
        how: End,
        reason: &str,
    ) -> Result<(), Stop> {
        if self.ending.is_none() {
            self.event(store, self.reached_s, "abort", &format!("{reason}; the load is taken down"))?;
            self.ending = Some(Ended { how, reason: reason.to_owned() });
            self.drain(crew, clock);
        }
        Ok(())
    }

    fn drain(&mut self, crew: &Crew, clock: Clock) {
        self.draining = true;
        self.drained_ns.get_or_insert_with(|| clock.now());
        crew.tell(Command::Drain);
    }

    fn event(&mut self, store: &mut Store, t_s: u64, kind: &str, text: &str) -> Result<(), StoreError> {
        self.tell(store, t_s, kind, text, serde_json::Map::new())
    }

    fn tell(
        &mut self,
        store: &mut Store,
        t_s: u64,
        kind: &str,
        text: &str,
        fields: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), StoreError> {
        let event = Event { t_s: t_s as f64, kind: kind.to_owned(), text: text.to_owned(), fields };
        self.watcher.event(&event);
        store.event(&event)
    }
}

fn level_run(plan: &Plan) -> Option<(usize, LevelRun)> {
    let endpoints = plan.endpoints.clone();
    let (part, executor) = steered_part(plan)?;
    let run = match executor {
        Executor::Breakpoint { of, search, timing, .. } => {
            let chooser = Box::new(Search::new(search.clone(), timing.windows, *of));
            LevelRun::new(
                chooser,
                search.fail_when.clone(),
                search.exceed,
                *timing,
                search.soak,
                *of,
                endpoints,
            )
        }
        Executor::Step { of, levels, timing, fail_when, .. } => {
            let chooser = Box::new(Staircase::new(levels.clone(), *of));
            LevelRun::new(chooser, fail_when.clone(), 0.0, *timing, Duration::ZERO, *of, endpoints)
        }
        Executor::Closed { .. } | Executor::Open { .. } => return None,
    };
    Some((part, run))
}

fn planned_end_s(plan: &Plan) -> Option<u64> {
    plan.load
        .iter()
        .map(|part| part.planned_end_s().map(|end_s| end_s.ceil() as u64))
        .collect::<Option<Vec<u64>>>()?
        .into_iter()
        .max()
}
