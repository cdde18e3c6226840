//! The `load` section: who runs what, how many and when.

use super::builder::Builder;
use super::document::{Entry, Kind, Node};
use super::keys::{self, Section};
use super::plan::{
    Executor, JourneyId, Late, LevelTiming, LoadPart, LoadUnit, OpenRules, Phase, Safety, SearchRules,
};
use super::problem::Problem;
use super::reader::{self, Fields};
use super::suggest;
use crate::load::arrivals::Arrivals;
use crate::load::curve::Curve;
use std::time::Duration;

const GRACEFUL_STOP: Duration = Duration::from_secs(30);
const MAX_IN_FLIGHT: u32 = 10_000;
const EXCEED: f64 = 0.5;
const PRECISION: f64 = 0.05;
/// Of a search; after it the goals have to be met again.
const COOLDOWN: Duration = Duration::from_secs(2);

/// Long enough for what short windows hide: leaks, buffers that fill, checkpoints.
const SOAK: Duration = Duration::from_secs(600);

/// Levels of one staircase; more is a curve.
const LEVELS_MAX: u64 = 1_000;

const UNITS: [(&str, LoadUnit); 2] = [("users", LoadUnit::Users), ("rate", LoadUnit::RatePerS)];

impl Builder<'_> {
    /// Reads `load`. Journeys are numbered in `order` as they are first named.
    pub(super) fn load(
        &mut self,
        node: &Node,
        pieces: &[Entry],
        order: &mut Vec<String>,
        safety: &Safety,
    ) -> Vec<LoadPart> {
        if matches!(node.kind, Kind::Map(_)) {
            self.sink.error(
                node.span,
                "`load` is a list of parts",
                "write `- name: …` for each part, even when there is one",
            );
            return Vec::new();
        }
        let items = reader::list(node, "`load`", &mut self.sink);
        let mut parts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            parts.extend(self.part(item, index, pieces, order, safety));
        }
        let levelled = parts
            .iter()
            .any(|part| matches!(part.executor, Executor::Step { .. } | Executor::Breakpoint { .. }));
        if let (true, [_, second, ..]) = (levelled, items) {
            self.sink.error(
                second.span,
                "a staircase or a search beside other parts is not in this version yet",
                "give it a `load` of its own, in a profile",
            );
        }
        if items.is_empty() {
            self.sink.error(
                node.span,
                "`load` has no parts",
                "write load: [{run: SCENARIO, executor: closed, stages: [{to: 10, over: 10s}]}]",
            );
        }
        parts
    }

    fn part(
        &mut self,
        node: &Node,
        index: usize,
        pieces: &[Entry],
        order: &mut Vec<String>,
        safety: &Safety,
    ) -> Option<LoadPart> {
        let (kind, section) = self.executor(node)?;
        let fields = Fields::open(node, section, &mut self.sink)?;
        let name = fields
            .get("name")
            .and_then(|node| self.fixed(node, "`name`"))
            .unwrap_or_else(|| format!("part-{}", index + 1));
        let mix =
            match fields.need("run", "write run: SCENARIO, or run: {browse: 70, buy: 30}", &mut self.sink) {
                Some(run) => self.mix(run, pieces, order),
                None => Vec::new(),
            };
        let time = |builder: &mut Self, key: &str, otherwise| {
            fields
                .get(key)
                .and_then(|node| reader::duration(node, key, &mut builder.sink))
                .unwrap_or(otherwise)
        };
        let (start, graceful_stop) =
            (time(self, "start", Duration::ZERO), time(self, "graceful_stop", GRACEFUL_STOP));
        let executor = match kind {
            "closed" => self
                .staged(&fields, LoadUnit::Users, safety)
                .map(|(curve, phases)| Executor::Closed { curve, phases }),
            "open" => {
                let open = self.open_rules(&fields);
                self.staged(&fields, LoadUnit::RatePerS, safety).map(|(curve, phases)| Executor::Open {
                    curve,
                    phases,
                    open,
                })
            }
            "step" => self.staircase(&fields, safety),
            _ => self.breakpoint(&fields, safety),
        };
        Some(LoadPart { name, mix, start, graceful_stop, executor: executor? })
    }

    fn executor(&mut self, node: &Node) -> Option<(&'static str, &'static Section)> {
        let help = "write executor: closed, open, step or breakpoint";
        let Some(value) = node.get("executor") else {
            let mut entries = node.entries().unwrap_or_default().iter();
            let misspelled = entries.find(|entry| suggest::nearest(&entry.key, ["executor"]).is_some());
            match misspelled {
                Some(entry) => self.sink.push(reader::unknown_key(entry, &keys::CLOSED)),
                None => self.sink.error(node.span, "`executor` is missing", help),
            }
            return None;
        };
        let text = reader::text(value, "`executor`", &mut self.sink)?;
        match text {
            "closed" => return Some(("closed", &keys::CLOSED)),
            "open" => return Some(("open", &keys::OPEN)),
            "step" => return Some(("step", &keys::STEP)),
            "breakpoint" => return Some(("breakpoint", &keys::BREAKPOINT)),
            "iterations" => self.sink.push(reader::not_yet(value.span, "executor: iterations")),
            _ => {
                let problem = Problem::error(value.span, format!("there is no executor `{text}`"));
                let foreign = keys::EXECUTORS_FOREIGN.iter().find(|(name, _)| *name == text);
                let advice = foreign.map(|(_, form)| format!("write {form}"));
                self.sink.push(problem.maybe_help(advice.or_else(|| suggest::hint(text, keys::EXECUTORS))));
            }
        }
        None
    }

    fn mix(&mut self, node: &Node, pieces: &[Entry], order: &mut Vec<String>) -> Vec<(JourneyId, u32)> {
        let mut mix = Vec::new();
        let mut add = |builder: &mut Self, name: &str, at, weight| {
            if !pieces.iter().any(|entry| entry.key == name) {
                let problem = Problem::error(at, format!("there is no scenario `{name}` to run"));
                builder.sink.push(
                    problem.maybe_help(suggest::hint(name, pieces.iter().map(|entry| entry.key.as_str()))),
                );
                return;
            }
            let index = order.iter().position(|known| known == name).unwrap_or_else(|| {
                order.push(name.to_owned());
                order.len() - 1
            });
            mix.push((JourneyId::try_from(index).unwrap_or(JourneyId::MAX), weight));
        };
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    let weight = reader::count_u32(&entry.value, "a weight", &mut self.sink).unwrap_or(1);
                    add(self, &entry.key, entry.key_span, weight);
                }
            }
            _ => {
                if let Some(name) = reader::text(node, "`run`", &mut self.sink) {
                    add(self, name, node.span, 1);
                }
            }
        }
        mix
    }

    fn open_rules(&mut self, fields: &Fields<'_>) -> OpenRules {
        let arrivals = [("uniform", Arrivals::Uniform), ("poisson", Arrivals::Poisson)];
        let late = [("queue", Late::Queue), ("drop", Late::Drop)];
        OpenRules {
            arrivals: fields
                .get("arrivals")
                .and_then(|node| reader::word(node, "`arrivals`", &arrivals, &mut self.sink))
                .unwrap_or(Arrivals::Uniform),
            max_in_flight: fields
                .get("max_in_flight")
                .and_then(|node| reader::count_u32(node, "`max_in_flight`", &mut self.sink))
                .unwrap_or(MAX_IN_FLIGHT),
            late: fields
                .get("late")
                .and_then(|node| reader::word(node, "`late`", &late, &mut self.sink))
                .unwrap_or(Late::Queue),
        }
    }

    /// Users or a rate, as the unit asks, and not above what `safety` allows.
    fn amount(&mut self, node: &Node, of: LoadUnit, what: &str, safety: &Safety) -> Option<f64> {
        // Counts are far below 2^53, so they are exact as floats.
        let (value, limit, key) = match of {
            LoadUnit::Users => {
                let value = reader::count(node, what, &mut self.sink)? as f64;
                if value > f64::from(u32::MAX) {
                    self.sink.error(
                        node.span,
                        format!("{what} is more users than there are"),
                        "write a count such as 20k",
                    );
                    return None;
                }
                (value, safety.max_users.map(f64::from), "max_users")
            }
            LoadUnit::RatePerS => {
                (reader::rate(node, what, &mut self.sink)?, safety.max_rate_per_s, "max_rate")
            }
        };
        if limit.is_some_and(|limit| value > limit) {
            self.sink.error(
                node.span,
                format!("{what} is above `safety.{key}`"),
                format!("lower it, or raise {key} when the target may be loaded that much"),
            );
        }
        Some(value)
    }

    fn staged(&mut self, fields: &Fields<'_>, of: LoadUnit, safety: &Safety) -> Option<(Curve, Vec<Phase>)> {
        let help = "write stages: [{phase: ramp, to: 100, over: 1m}, {phase: peak, hold: 5m}]";
        let node = fields.need("stages", help, &mut self.sink)?;
        let before = self.sink.count();
        let mut curve = Curve::new(0.0);
        let mut phases: Vec<Phase> = Vec::new();
        for stage in reader::list(node, "`stages`", &mut self.sink) {
            let Some(stage) = Fields::open(stage, &keys::STAGE, &mut self.sink) else { continue };
            let from_ns = curve.end_ns();
            curve = match (stage.get("to"), stage.get("over"), stage.get("hold")) {
                (Some(to), Some(over), None) => {
                    let value = self.amount(to, of, "`to`", safety);
                    let over = reader::duration(over, "`over`", &mut self.sink);
                    curve.ramp_to(value.unwrap_or(0.0), nanos(over.unwrap_or_default()))
                }
                (None, None, Some(hold)) => {
                    let hold = reader::duration(hold, "`hold`", &mut self.sink);
                    curve.hold(nanos(hold.unwrap_or_default()))
                }
                _ if stage.misspelled => curve,
                _ => {
                    self.sink.error(
                        stage.span,
                        "a stage is either `to` with `over`, or `hold`",
                        "write {to: 100, over: 30s} (over: 0s jumps), then {hold: 5m}",
                    );
                    curve
                }
            };
            let Some(name_node) = stage.get("phase") else { continue };
            let Some(name) = reader::text(name_node, "`phase`", &mut self.sink) else { continue };
            if !reader::is_name(name) {
                self.sink.error(
                    name_node.span,
                    format!("`{name}` cannot name a phase"),
                    "letters, digits, `_` and `-`, beginning with a letter",
                );
            }
            let to_ns = curve.end_ns();
            match phases.last_mut() {
                Some(last) if last.name == name && last.to_ns == from_ns => last.to_ns = to_ns,
                _ => phases.push(Phase { name: name.to_owned(), from_ns, to_ns }),
            }
        }
        phases.retain(|phase| phase.to_ns > phase.from_ns);
        if self.sink.count() == before && (curve.end_ns() == 0 || curve.peak() <= 0.0) {
            self.sink.error(node.span, "these stages put no load on anything", help);
        }
        Some((curve, phases))
    }

    fn of(&mut self, fields: &Fields<'_>) -> LoadUnit {
        let node = fields.need("of", "write of: users, or of: rate", &mut self.sink);
        node.and_then(|node| reader::word(node, "`of`", &UNITS, &mut self.sink)).unwrap_or(LoadUnit::Users)
    }

    /// `settle`, and `ramp` with half of it as default.
    fn settling(&mut self, fields: &Fields<'_>) -> (Duration, Duration) {
        let settle = fields
            .get("settle")
            .and_then(|node| reader::duration(node, "`settle`", &mut self.sink))
            .unwrap_or_default();
        let ramp = fields.get("ramp").and_then(|node| reader::duration(node, "`ramp`", &mut self.sink));
        (settle, ramp.unwrap_or(settle / 2))
    }

    fn cooldown(&mut self, fields: &Fields<'_>, otherwise: Duration) -> Duration {
        fields
            .get("cooldown")
            .and_then(|node| reader::duration(node, "`cooldown`", &mut self.sink))
            .unwrap_or(otherwise)
    }

    fn staircase(&mut self, fields: &Fields<'_>, safety: &Safety) -> Option<Executor> {
        let of = self.of(fields);
        let open = self.open_rules(fields);
        let levels = self.levels(fields, of, safety);
        let (settle, ramp) = self.settling(fields);
        let hold = fields.need("hold", "write hold: 60s, the judged part of a level", &mut self.sink);
        let window = hold.and_then(|node| reader::lasting(node, "`hold`", &mut self.sink))?;
        let timing =
            LevelTiming { ramp, settle, window, windows: 1, cooldown: self.cooldown(fields, Duration::ZERO) };
        let fail_when = fields.get("fail_when").map(|node| self.goals(node)).unwrap_or_default();
        Some(Executor::Step { of, levels: levels?, timing, open, fail_when })
    }

    fn levels(&mut self, fields: &Fields<'_>, of: LoadUnit, safety: &Safety) -> Option<Vec<f64>> {
        let help = "write from: 50, by: 50, levels: 12, or levels: [100, 200, 400]";
        let node = fields.need("levels", help, &mut self.sink)?;
        if let Kind::List(items) = &node.kind {
            if let Some(extra) = ["from", "by"].into_iter().find(|key| fields.get(key).is_some()) {
                self.sink.error(fields.key_span(extra), format!("`{extra}` beside a list of levels"), help);
            }
            let levels: Vec<f64> =
                items.iter().filter_map(|item| self.amount(item, of, "a level", safety)).collect();
            if items.is_empty() || levels.iter().any(|level| *level <= 0.0) {
                self.sink.error(node.span, "levels are above zero", help);
            }
            return Some(levels);
        }
        let count = reader::count(node, "`levels`", &mut self.sink)?;
        let by =
            fields.need("by", help, &mut self.sink).and_then(|node| self.amount(node, of, "`by`", safety))?;
        let from = match fields.get("from") {
            Some(node) => self.amount(node, of, "`from`", safety)?,
            None => by,
        };
        if count == 0 || count > LEVELS_MAX || from <= 0.0 || by <= 0.0 {
            self.sink.error(node.span, format!("a staircase has 1 to {LEVELS_MAX} levels above zero"), help);
            return None;
        }
        let levels: Vec<f64> = (0..count).map(|index| from + by * index as f64).collect();
        let top = levels.last().copied().unwrap_or(from);
        let limit = match of {
            LoadUnit::Users => safety.max_users.map(f64::from),
            LoadUnit::RatePerS => safety.max_rate_per_s,
        };
        if limit.is_some_and(|limit| top > limit) {
            self.sink.error(
                node.span,
                "the last level is above the limit of `safety`",
                "take fewer levels, or raise the limit",
            );
        }
        Some(levels)
    }

    fn breakpoint(&mut self, fields: &Fields<'_>, safety: &Safety) -> Option<Executor> {
        let of = self.of(fields);
        let open = self.open_rules(fields);
        let mut amount = |key: &str, help: &str| {
            let node = fields.need(key, help, &mut self.sink)?;
            self.amount(node, of, &format!("`{key}`"), safety)
        };
        let from = amount("from", "write from: 100; a search starts low and grows");
        let to = amount("to", "write to: 20k, where the search gives up");
        if let (Some(from), Some(to)) = (from, to)
            && !(from > 0.0 && from < to)
        {
            self.sink.error(
                fields.key_span("to"),
                "a search goes from above zero up to a larger `to`",
                "write from: 100, to: 20k",
            );
        }
        let grow = fields.get("grow").map_or(Some(2.0), |node| self.factor(node));
        let (settle, ramp) = self.settling(fields);
        let window = fields.need("window", "write window: 4s, the length of one trial", &mut self.sink);
        let window = window.and_then(|node| reader::lasting(node, "`window`", &mut self.sink));
        let windows = fields
            .get("windows")
            .map_or(Some(3), |node| reader::count_u32(node, "`windows`", &mut self.sink));
        let mut share = |key: &str, otherwise| {
            fields.get(key).and_then(|node| reader::share(node, key, &mut self.sink)).unwrap_or(otherwise)
        };
        let (exceed, precision) = (share("exceed", EXCEED), share("precision", PRECISION));
        if let Some(node) = fields.get("exceed").filter(|_| exceed >= 1.0) {
            self.sink.error(node.span, "with `exceed: 100%` no level is ever bad", "write 50%");
        }
        let cooldown = self.cooldown(fields, COOLDOWN);
        let goals =
            fields.need("fail_when", "say what is too much: fail_when: [p99(http) > 100ms]", &mut self.sink);
        let fail_when = goals.map(|node| self.goals(node)).unwrap_or_default();
        let timing = LevelTiming { ramp, settle, window: window?, windows: windows?, cooldown };
        let soak = fields.get("guarantee").map_or(Some(SOAK), |node| self.soak(node));
        let search = SearchRules {
            from: from?,
            to: to?,
            grow: grow?,
            precision,
            exceed,
            fail_when,
            effort: None,
            guarantee: false,
            soak: soak?,
        };
        Some(Executor::Breakpoint { of, search, timing, open })
    }

    /// How long a soak is that `find --guarantee` asks for.
    fn soak(&mut self, node: &Node) -> Option<Duration> {
        let rules = Fields::open(node, &keys::GUARANTEE, &mut self.sink)?;
        let soak = rules.need("soak", "write guarantee: {soak: 10m}", &mut self.sink)?;
        reader::lasting(soak, "`soak`", &mut self.sink)
    }

    fn factor(&mut self, node: &Node) -> Option<f64> {
        let text = reader::text(node, "`grow`", &mut self.sink)?;
        let factor = text
            .strip_suffix('x')
            .and_then(crate::units::magnitude)
            .filter(|factor| *factor > 1.0 && *factor <= 100.0);
        if factor.is_none() {
            self.sink.error(
                node.span,
                format!("`{text}` is not a factor of growth"),
                "write grow: 2x, or 1.5x",
            );
        }
        factor
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
