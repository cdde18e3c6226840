//! The state of turning a document into a plan: names and what they mean, the registry of endpoints, and which variables a user
//! can hold at the step being read.

use super::document::{Node, Span};
use super::plan::{DataTable, SlotId, SocketId, StreamId};
use super::problem::{Problem, Sink};
use super::reader;
use super::suggest;
use super::template::parse::{self, Meaning, Names, Place, TemplateBuilder, TemplateError};
use super::template::{Expression, Template, Value};
use crate::endpoint::{Endpoint, EndpointId, Protocol};
use crate::threshold::Threshold;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// What is known about a user when it reaches a step. Captured variables stay over iterations, so one pass in order is enough:
/// the first iteration is the poorest.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Captured on every path that leads here, and on some.
    pub(super) surely: BTreeSet<SlotId>,
    pub(super) perhaps: BTreeSet<SlotId>,
    pub(super) sockets: BTreeSet<SocketId>,
    pub(super) streams: BTreeSet<StreamId>,
}

impl Flow {
    /// Where two paths meet again.
    pub(super) fn join(&mut self, other: &Self) {
        self.surely = self.surely.intersection(&other.surely).copied().collect();
        self.perhaps.extend(&other.perhaps);
        self.sockets.extend(&other.sockets);
        self.streams.extend(&other.streams);
    }
}

/// What the journeys read so far have put into the plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    pub(super) endpoints: Vec<Endpoint>,
    /// Where each endpoint was first named.
    pub(super) places: Vec<Span>,
    pub(super) slots: Vec<String>,
    pub(super) sockets: Vec<String>,
    pub(super) streams: Vec<String>,
}

pub(super) struct Builder<'a> {
    pub(super) sink: Sink,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) constants: BTreeMap<String, Value>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) tables: Vec<DataTable>,
    /// Tables that have been read from since somebody last looked.
    pub(super) reads: BTreeSet<u16>,
    /// Every name that some step captures, with the first place.
    pub(super) captured: HashMap<String, Span>,
    pub(super) registry: Registry,
    /// Conditions of a search with their places; which requests there are is known when all journeys are read.
    pub(super) sought: Vec<(Threshold, Span)>,
    pub(super) flow: Flow,
    /// Whether names are held against `flow`. A piece that is only called is read for itself without it.
    pub(super) follow: bool,
    /// The target is the bundled one, which brings its own readings.
    pub(super) bundled: bool,
    /// `target.timeout`, which steps without their own take.
    pub(super) timeout: std::time::Duration,
    /// The scalar being compiled, for places in messages: its span, and where its text stands.
    here: (Span, Option<u32>),
}

impl<'a> Builder<'a> {
    pub(super) fn new(sink: Sink, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            sink,
            env,
            constants: BTreeMap::new(),
            secrets: BTreeMap::new(),
            tables: Vec::new(),
            reads: BTreeSet::new(),
            captured: HashMap::new(),
            registry: Registry::default(),
            sought: Vec::new(),
            flow: Flow::default(),
            follow: true,
            bundled: false,
            timeout: std::time::Duration::from_secs(10),
            here: (Span::default(), None),
        }
    }

    pub(super) fn slot(&mut self, name: &str) -> SlotId {
        if let Some(index) = self.registry.slots.iter().position(|known| known == name) {
            return SlotId::try_from(index).unwrap_or(SlotId::MAX);
        }
        self.registry.slots.push(name.to_owned());
        SlotId::try_from(self.registry.slots.len() - 1).unwrap_or(SlotId::MAX)
    }

    /// A name that a step captures into.
    pub(super) fn capture(&mut self, name: &str, at: Span) -> SlotId {
        if !reader::is_name(name) || matches!(name, "iter") {
            self.sink.error(
                at,
                format!("`{name}` cannot name a variable"),
                "letters, digits, `_` and `-`, beginning with a letter",
            );
        } else if self.constants.contains_key(name) {
            self.sink.error(at, format!("`{name}` is a constant of `vars`"), "capture into another name");
        }
        self.slot(name)
    }

    /// From here on the variable holds a value.
    pub(super) fn assign(&mut self, slot: SlotId) {
        self.flow.surely.insert(slot);
        self.flow.perhaps.insert(slot);
    }

    /// The endpoint of that protocol and name, made when it is new.
    pub(super) fn endpoint(&mut self, protocol: Protocol, name: &str, route: &str, at: Span) -> EndpointId {
        let known = self.registry.endpoints.iter().position(|e| e.protocol == protocol && e.name == name);
        let index = known.unwrap_or_else(|| {
            let endpoint = Endpoint { name: name.to_owned(), protocol, route: route.to_owned() };
            self.registry.endpoints.push(endpoint);
            self.registry.places.push(at);
            self.registry.endpoints.len() - 1
        });
        let method = |route: &str| route.split(' ').next().unwrap_or("").to_owned();
        let first = &self.registry.endpoints[index];
        if protocol == Protocol::Http && method(&first.route) != method(route) {
            let (one, other) = (method(&first.route), method(route));
            self.sink.push(
                Problem::error(at, format!("`{name}` names both {one} and {other} requests"))
                    .label(self.registry.places[index], format!("{one} here"))
                    .help("one statistic would mix two kinds of request: give each its own name"),
            );
        }
        if EndpointId::try_from(index).is_err() {
            self.sink.error(at, "more than 65,535 endpoints", "give several requests one `name`");
        }
        EndpointId::try_from(index).unwrap_or(EndpointId::MAX)
    }

    /// Compiles the text of a scalar.
    pub(super) fn template(&mut self, node: &Node, what: &str, place: Place) -> Template {
        let Some(text) = reader::text(node, what, &mut self.sink) else { return Template::default() };
        self.compile(node, text, 0, place)
    }

    /// Compiles `text`, which stands at byte `offset` of the scalar `node`.
    pub(super) fn compile(&mut self, node: &Node, text: &str, offset: usize, place: Place) -> Template {
        let mut errors = Vec::new();
        self.stand(node, offset);
        let template = parse::compile(text, place, self, &mut errors);
        self.report(node, offset, errors);
        template
    }

    fn stand(&mut self, node: &Node, offset: usize) {
        let start = node.scalar().and_then(|scalar| scalar.verbatim);
        self.here = (node.span, start.map(|start| start + u32::try_from(offset).unwrap_or(0)));
    }

    fn report(&mut self, node: &Node, offset: usize, errors: Vec<TemplateError>) {
        for error in errors {
            let at = node.part(error.at.start + offset, error.at.end + offset);
            self.sink.push(Problem::error(at, error.message).maybe_help(error.help));
        }
    }

    /// A text of the set-up, where only what is known before the run can stand.
    pub(super) fn fixed(&mut self, node: &Node, what: &str) -> Option<String> {
        let before = self.sink.count();
        let template = self.template(node, what, Place::Text);
        if let Some(text) = template.literal() {
            return (self.sink.count() == before).then(|| text.to_owned());
        }
        self.sink.error(
            node.span,
            format!("{what} must be known before the run"),
            "only vars, env.NAME and secret.NAME can stand here",
        );
        None
    }

    /// A YAML value as a JSON template.
    pub(super) fn json(&mut self, node: &Node) -> Template {
        let mut builder = TemplateBuilder::default();
        self.json_into(node, &mut builder);
        builder.finish()
    }

    fn json_into(&mut self, node: &Node, builder: &mut TemplateBuilder) {
        use super::document::Kind;
        match &node.kind {
            Kind::List(items) => {
                builder.text("[");
                for (index, item) in items.iter().enumerate() {
                    builder.text(if index == 0 { "" } else { "," });
                    self.json_into(item, builder);
                }
                builder.text("]");
            }
            Kind::Map(entries) => {
                builder.text("{");
                for (index, entry) in entries.iter().enumerate() {
                    builder.text(if index == 0 { "" } else { "," });
                    builder.text(&parse::quoted(&entry.key));
                    builder.text(":");
                    self.json_into(&entry.value, builder);
                }
                builder.text("}");
            }
            Kind::Scalar(_) if node.is_null() => builder.text("null"),
            Kind::Scalar(scalar) => {
                if let Some(json) = scalar.plain.then(|| plain_json(&scalar.text)).flatten() {
                    builder.text(&json);
                    return;
                }
                let mut errors = Vec::new();
                self.stand(node, 0);
                parse::compile_json_string(&scalar.text, builder, self, &mut errors);
                self.report(node, 0, errors);
            }
        }
    }

    /// A condition, with its problems reported.
    pub(super) fn condition(&mut self, node: &Node, what: &str) -> Option<super::extract::Condition> {
        let text = reader::text(node, what, &mut self.sink)?;
        let parsed =
            super::condition::parse(text, &mut |part, offset| self.compile(node, part, offset, Place::Text));
        parsed
            .map_err(|(at, message, help)| {
                self.sink.push(Problem::error(node.part(at.start, at.end), message).maybe_help(help));
            })
            .ok()
    }

    /// How people would write this template in a route: `/api/products/{product_id}`, without the query.
    pub(super) fn route(&self, template: &Template) -> String {
        use super::template::Segment;
        let mut route = String::new();
        for segment in &template.segments {
            match segment {
                Segment::Text(text) => match text.find(['?', '#']) {
                    Some(end) => {
                        route.push_str(&text[..end]);
                        break;
                    }
                    None => route.push_str(text),
                },
                Segment::Value(e) | Segment::JsonText(e) | Segment::JsonValue(e) | Segment::Url(e) => {
                    route.push_str(&format!("{{{}}}", self.name_of(e)));
                }
            }
        }
        route
    }

    fn name_of(&self, expression: &Expression) -> String {
        match expression {
            Expression::Slot(slot) => {
                self.registry.slots.get(usize::from(*slot)).cloned().unwrap_or_default()
            }
            Expression::Data { table, column } => {
                let table = self.tables.get(usize::from(*table));
                table.and_then(|table| table.columns.get(usize::from(*column)).cloned()).unwrap_or_default()
            }
            Expression::UserId => "user.id".into(),
            Expression::Iteration => "iter".into(),
            Expression::NowMs => "now.ms".into(),
            Expression::NowS => "now.s".into(),
            Expression::RandInt { .. } | Expression::RandZipf { .. } => "number".into(),
            Expression::RandUuid => "uuid".into(),
            Expression::RandChance(_) => "chance".into(),
            Expression::Call { .. } => "computed".into(),
        }
    }
}

/// A plain scalar that is a number or a boolean in YAML 1.2, as JSON.
pub(super) fn plain_json(text: &str) -> Option<String> {
    if matches!(text, "true" | "false") {
        return Some(text.to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return Some(text.to_owned());
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(|value| value.to_string());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(|value| value.to_string());
    }
    let digits = text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let value = digits.then(|| text.parse::<f64>().ok()).flatten()?;
    serde_json::Number::from_f64(value).map(|number| number.to_string())
}

impl Names for Builder<'_> {
    fn variable(&mut self, name: &str, at: Range<usize>) -> Result<Meaning, (String, Option<String>)> {
        if let Some(value) = self.constants.get(name) {
            return Ok(Meaning::Constant(value.clone()));
        }
        let Some(place) = self.captured.get(name).copied() else {
            if self.tables.iter().any(|table| table.name == name) {
                return Err((
                    format!("there is no variable `{name}`"),
                    Some(format!("the data table is ${{data.{name}}}")),
                ));
            }
            let known: Vec<&str> =
                self.constants.keys().chain(self.captured.keys()).map(String::as_str).collect();
            let fallback =
                || Some("capture it with `extract`, set it with `set`, or define it under `vars`".to_owned());
            let help =
                suggest::nearest(name, known).map(|best| format!("did you mean `{best}`?")).or_else(fallback);
            return Err((format!("there is no variable `{name}`"), help));
        };
        let slot = self.slot(name);
        if self.follow && !self.flow.surely.contains(&slot) {
            let shift = |offset: usize| u32::try_from(offset).unwrap_or(0);
            let span = match self.here {
                (span, Some(start)) => {
                    Span { start: start + shift(at.start), end: start + shift(at.end), ..span }
                }
                (span, None) => span,
            };
            if self.flow.perhaps.contains(&slot) {
                self.sink.push(
                    Problem::warning(span, format!("`{name}` is captured only on some of the ways to this step"))
                        .label(place, "captured here")
                        .help("users who come another way fail this step: capture it on every way, or give it a value with `set` first"),
                );
            } else {
                self.sink.push(
                    Problem::error(span, format!("`{name}` is used before it is captured"))
                        .label(place, "captured here, which this user has not reached")
                        .help("move the step that captures it before this one, or `call` the scenario that does"),
                );
            }
        }
        Ok(Meaning::Dynamic(Expression::Slot(slot)))
    }

    fn data(&mut self, table: &str, column: Option<&str>) -> Result<Meaning, (String, Option<String>)> {
        let Some(index) = self.tables.iter().position(|known| known.name == table) else {
            let help = suggest::hint(table, self.tables.iter().map(|known| known.name.as_str()));
            return Err((
                format!("there is no data table `{table}`"),
                help.or_else(|| Some("define it under `data`".into())),
            ));
        };
        let columns = &self.tables[index].columns;
        let position = match column {
            // A table that could not be read has been reported; its columns are unknown, not wrong.
            _ if columns.is_empty() => Some(0),
            Some(name) => columns.iter().position(|known| known == name),
            None if columns.len() == 1 => Some(0),
            None => {
                let help =
                    format!("write ${{data.{table}.{}}}", columns.first().map_or("COLUMN", String::as_str));
                return Err((format!("the data table `{table}` has {} columns", columns.len()), Some(help)));
            }
        };
        let Some(position) = position else {
            let name = column.unwrap_or_default();
            let help = suggest::hint(name, columns.iter().map(String::as_str));
            return Err((format!("the data table `{table}` has no column `{name}`"), help));
        };
        let fits = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
        self.reads.insert(fits(index));
        Ok(Meaning::Dynamic(Expression::Data { table: fits(index), column: fits(position) }))
    }

    fn env(&mut self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    fn secret(&mut self, name: &str) -> Result<String, (String, Option<String>)> {
        self.secrets.get(name).cloned().ok_or_else(|| {
            let help = suggest::hint(name, self.secrets.keys().map(String::as_str));
            (
                format!("there is no secret `{name}`"),
                help.or_else(|| Some("define it: secrets: {key: {env: NAME}}".into())),
            )
        })
    }
}
