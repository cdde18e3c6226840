//! Journeys and the steps that steer them: think, set, if, repeat, choose, call, stop_user.

use super::builder::Builder;
use super::document::{Entry, Kind, Node, Span};
use super::keys::{self, STEPS, STEPS_FOREIGN, STEPS_LATER};
use super::plan::{Journey, Lifetime, Step};
use super::problem::Problem;
use super::reader::{self, Fields};
use super::suggest;
use super::template::parse::Place;
use crate::limits;

/// Steps of one journey after its calls are put in; stops a few lines of `call` from becoming millions.
const STEPS_MAX: usize = 10_000;

/// One reading of a journey.
pub(super) struct Walk<'n> {
    /// The section `scenarios`, where `call` finds its pieces.
    pub(super) pieces: &'n [Entry],
    /// Names of the journeys being read, outermost first.
    pub(super) calls: Vec<String>,
    pub(super) steps: usize,
}

impl<'n> Walk<'n> {
    pub(super) fn new(pieces: &'n [Entry]) -> Self {
        Self { pieces, calls: Vec::new(), steps: 0 }
    }
}

impl Builder<'_> {
    /// Reads one entry of `scenarios` as a journey of its own.
    pub(super) fn journey(&mut self, entry: &Entry, walk: &mut Walk<'_>) -> Journey {
        let mut journey = Journey {
            name: entry.key.clone(),
            once_per_user: Vec::new(),
            steps: Vec::new(),
            pacing: None,
            lifetime: Lifetime::Loop,
        };
        let Some(fields) = Fields::open(&entry.value, &keys::JOURNEY, &mut self.sink) else { return journey };
        self.flow = Default::default();
        walk.calls.push(entry.key.clone());
        if let Some(node) = fields.get("once_per_user") {
            journey.once_per_user = self.steps(node, "`once_per_user`", walk);
        }
        match fields.get("steps") {
            Some(node) => journey.steps = self.steps(node, "`steps`", walk),
            None => self.missing(entry.key_span, "steps", "write steps: [{get: /}]"),
        }
        walk.calls.pop();
        if let Some(pacing) =
            fields.get("pacing").and_then(|node| Fields::open(node, &keys::PACING, &mut self.sink))
        {
            let every = pacing.need("every", "write pacing: {every: 45s}", &mut self.sink);
            journey.pacing = every.and_then(|node| reader::lasting(node, "`every`", &mut self.sink));
        }
        if let Some(node) = fields.get("lifetime") {
            let choices = [("loop", Lifetime::Loop), ("once", Lifetime::Once)];
            journey.lifetime =
                reader::word(node, "`lifetime`", &choices, &mut self.sink).unwrap_or(Lifetime::Loop);
        }
        journey
    }

    pub(super) fn steps(&mut self, node: &Node, what: &str, walk: &mut Walk<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        for item in reader::list(node, what, &mut self.sink) {
            walk.steps += 1;
            if walk.steps > STEPS_MAX {
                self.sink.error(
                    item.span,
                    format!("more than {STEPS_MAX} steps in one journey"),
                    "use `repeat` instead of many `call`s",
                );
                break;
            }
            self.step(item, walk, &mut steps);
        }
        steps
    }

    fn step(&mut self, node: &Node, walk: &mut Walk<'_>, out: &mut Vec<Step>) {
        let Some(entries) = node.entries() else {
            if node.scalar().is_some_and(|scalar| scalar.text == "stop_user") {
                out.push(Step::StopUser);
            } else {
                self.sink.error(
                    node.span,
                    "a step is a mapping that begins with its verb",
                    "write - get: /path",
                );
            }
            return;
        };
        let verbs: Vec<(&Entry, &'static keys::Section)> = entries
            .iter()
            .filter_map(|entry| {
                STEPS.iter().find(|(verb, _)| *verb == entry.key).map(|(_, section)| (entry, *section))
            })
            .collect();
        let Some(&(entry, section)) = verbs.first() else {
            self.no_verb(node, entries);
            return;
        };
        if let Some((second, _)) = verbs.get(1) {
            self.sink.push(
                Problem::error(
                    second.key_span,
                    format!("this step has two verbs: `{}` and `{}`", entry.key, second.key),
                )
                .label(entry.key_span, "the first")
                .help("write two steps, each after its own `-`"),
            );
            return;
        }
        let Some(fields) = Fields::open(node, section, &mut self.sink) else { return };
        let value = &entry.value;
        match entry.key.as_str() {
            "think" => out.extend(self.think(value, "`think`").map(Step::Think)),
            "set" => self.set(value, out),
            "if" => out.extend(self.branch(value, &fields, walk)),
            "repeat" => out.extend(self.repeat(value, &fields, walk)),
            "choose" => out.extend(self.choose(value, walk)),
            "call" => self.call(value, walk, out),
            "stop_user" => out.push(Step::StopUser),
            "ws_open" => out.extend(self.ws_open(value, &fields)),
            "ws_send" => out.extend(self.ws_send(value, &fields)),
            "ws_expect" => out.extend(self.ws_expect(value, &fields)),
            "ws_listen" => out.extend(self.ws_listen(value, &fields)),
            "ws_close" => out.extend(self.ws_close(value)),
            "sse_open" => out.extend(self.sse_open(value, &fields)),
            "sse_expect" => out.extend(self.sse_expect(value, &fields)),
            "sse_listen" => out.extend(self.sse_listen(value, &fields)),
            "sse_close" => out.extend(self.sse_close(value)),
            method => out.extend(self.request(method, value, &fields)),
        }
    }

    fn no_verb(&mut self, node: &Node, entries: &[Entry]) {
        if let Some(entry) = entries.iter().find(|entry| STEPS_LATER.contains(&entry.key.as_str())) {
            self.sink.push(reader::not_yet(entry.key_span, &entry.key));
            return;
        }
        let foreign = |entry: &Entry| {
            STEPS_FOREIGN.iter().find(|(word, _)| *word == entry.key).map(|(_, advice)| *advice)
        };
        if let Some((entry, advice)) =
            entries.iter().find_map(|entry| foreign(entry).map(|advice| (entry, advice)))
        {
            self.sink.error(entry.key_span, format!("there is no step `{}`", entry.key), advice);
            return;
        }
        let at = entries.first().map_or(node.span, |entry| entry.key_span);
        let verbs = STEPS.iter().map(|(verb, _)| *verb);
        let message = entries
            .first()
            .map_or("this step is empty".to_owned(), |entry| format!("there is no step `{}`", entry.key));
        let help = entries.first().and_then(|entry| suggest::hint(&entry.key, verbs));
        self.sink.push(Problem::error(at, message).maybe_help(help));
    }

    fn set(&mut self, node: &Node, out: &mut Vec<Step>) {
        let Some(entries) = node.entries() else {
            self.sink.error(
                node.span,
                "`set` is a mapping from names to values",
                "write set: {basket: \"${rand.uuid()}\"}",
            );
            return;
        };
        for entry in entries {
            let value = self.template(&entry.value, "a value of `set`", Place::Text);
            let slot = self.capture(&entry.key, entry.key_span);
            self.assign(slot);
            out.push(Step::Set { slot, value });
        }
    }

    fn branch(&mut self, condition_node: &Node, fields: &Fields<'_>, walk: &mut Walk<'_>) -> Option<Step> {
        let condition = self.condition(condition_node, "`if`");
        if condition.as_ref().is_some_and(super::extract::Condition::reads_response) {
            self.sink.error(
                condition_node.span,
                "`if` compares variables, not the last response",
                "capture the value with `extract` first, then write if: ${status} == \"paid\"",
            );
        }
        let before = self.flow.clone();
        let then = match fields.need("then", "write then: [{get: /}]", &mut self.sink) {
            Some(node) => self.steps(node, "`then`", walk),
            None => Vec::new(),
        };
        let after = std::mem::replace(&mut self.flow, before);
        let otherwise = fields.get("else").map(|node| self.steps(node, "`else`", walk)).unwrap_or_default();
        self.flow.join(&after);
        Some(Step::If { condition: condition?, then, otherwise })
    }

    fn repeat(&mut self, node: &Node, fields: &Fields<'_>, walk: &mut Walk<'_>) -> Option<Step> {
        let (mut max, mut until_node, mut every) = (None, None, None);
        if node.scalar().is_some() {
            max = reader::count_u32(node, "`repeat`", &mut self.sink);
        } else if let Some(rules) = Fields::open(node, &keys::REPEAT_RULES, &mut self.sink) {
            let help = "every loop is bounded: write repeat: {max: 5}";
            max = rules
                .need("max", help, &mut self.sink)
                .and_then(|node| reader::count_u32(node, "`max`", &mut self.sink));
            until_node = rules.get("until");
            every = rules.get("every").and_then(|node| reader::duration(node, "`every`", &mut self.sink));
        }
        let mut steps = match fields.need("steps", "write steps: [{get: /}] beside `repeat`", &mut self.sink)
        {
            Some(node) => self.steps(node, "`steps`", walk),
            None => Vec::new(),
        };
        // The condition is asked after a pass, so it may use what the pass captured.
        let until = until_node.and_then(|node| {
            let condition = self.condition(node, "`until`")?;
            if condition.reads_response() && !keep_bodies(&mut steps, condition.reads_body()) {
                self.sink.error(
                    node.span,
                    "`until` looks at a response, and no step of this loop sends a request",
                    "put the request into `steps`",
                );
            }
            Some(condition)
        });
        Some(Step::Repeat { max: max?, until, every, steps })
    }

    fn choose(&mut self, node: &Node, walk: &mut Walk<'_>) -> Option<Step> {
        let before = self.flow.clone();
        let (mut weights, mut branches) = (Vec::new(), Vec::new());
        let mut after: Option<super::builder::Flow> = None;
        for item in reader::list(node, "`choose`", &mut self.sink) {
            let Some(fields) = Fields::open(item, &keys::BRANCH, &mut self.sink) else { continue };
            let weight = fields.need("weight", "write weight: 3", &mut self.sink);
            weights.extend(weight.and_then(|node| reader::count_u32(node, "`weight`", &mut self.sink)));
            self.flow = before.clone();
            branches
                .push(fields.get("steps").map(|node| self.steps(node, "`steps`", walk)).unwrap_or_default());
            match &mut after {
                Some(after) => after.join(&self.flow),
                None => after = Some(self.flow.clone()),
            }
        }
        if let Some(after) = after {
            self.flow = after;
        } else {
            self.sink.error(
                node.span,
                "`choose` has no branches",
                "write - weight: 3 with steps, for each branch",
            );
        }
        (weights.len() == branches.len() && !branches.is_empty())
            .then_some(Step::Choose { weights, branches })
    }

    fn call(&mut self, node: &Node, walk: &mut Walk<'_>, out: &mut Vec<Step>) {
        let Some(name) = reader::text(node, "`call`", &mut self.sink) else { return };
        let pieces = walk.pieces;
        let Some(piece) = pieces.iter().find(|entry| entry.key == name) else {
            let help = suggest::hint(name, pieces.iter().map(|entry| entry.key.as_str()));
            self.sink.push(
                Problem::error(node.span, format!("there is no scenario `{name}` to call")).maybe_help(help),
            );
            return;
        };
        if walk.calls.iter().any(|outer| outer == name) || walk.calls.len() >= limits::CALL_DEPTH_MAX {
            let chain = walk.calls.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" → ");
            self.sink.error(node.span, format!("this call never ends: {chain}"), "use `repeat` for a loop");
            return;
        }
        if let Some(once) =
            piece.value.entries().and_then(|entries| entries.iter().find(|entry| entry.key != "steps"))
            && keys::JOURNEY.keys.contains(&once.key.as_str())
        {
            self.sink.push(
                Problem::warning(
                    node.span,
                    format!("`call` takes only the steps of `{name}`, not its `{}`", once.key),
                )
                .label(once.key_span, "set aside here"),
            );
        }
        walk.calls.push(name.to_owned());
        if let Some(steps) = piece.value.get("steps") {
            out.extend(self.steps(steps, "`steps`", walk));
        }
        walk.calls.pop();
    }
}

/// Marks the requests of a loop whose `until` looks at the last response; false when there is none.
fn keep_bodies(steps: &mut [Step], body: bool) -> bool {
    let mut any = false;
    for step in steps {
        any |= match step {
            Step::Request(request) => {
                request.keeps_body |= body;
                true
            }
            Step::If { then, otherwise, .. } => keep_bodies(then, body) | keep_bodies(otherwise, body),
            Step::Repeat { steps, .. } => keep_bodies(steps, body),
            Step::Choose { branches, .. } => {
                branches.iter_mut().fold(false, |any, branch| keep_bodies(branch, body) | any)
            }
            _ => false,
        };
    }
    any
}

/// Every name that `extract` or `set` captures anywhere below `node`, with its first place.
pub(super) fn captured_names(node: &Node, found: &mut std::collections::HashMap<String, Span>) {
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter().for_each(|item| captured_names(item, found)),
        Kind::Map(entries) => {
            for entry in entries {
                if matches!(entry.key.as_str(), "extract" | "set") {
                    for name in entry.value.entries().unwrap_or_default() {
                        found.entry(name.key.clone()).or_insert(name.key_span);
                    }
                }
                captured_names(&entry.value, found);
            }
        }
    }
}
