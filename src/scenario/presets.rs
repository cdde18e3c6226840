//! The presets of `observe`, and what each calls that which it finds: a name in a threshold that none of them gives is a mistake.

use super::plan::Observe;

/// By name. A word in capitals stands for what only the page says, such as the name of a pool. What `auto` finds is what all others do.
const PRESETS: [(&str, &[&str]); 12] = [
    (AUTO, &[]),
    ("opentelemetry-db-client", &["POOL.pool"]),
    ("opentelemetry-http-server", &["http.requests"]),
    ("hikaricp", &["POOL.pool"]),
    ("jvm", &["jvm.heap", "jvm.gc", "CONNECTOR.threads"]),
    ("mongodb", &["mongodb.connections", "mongodb.read_tickets", "mongodb.write_tickets", "mongodb.tickets"]),
    ("redis", &["redis.main_thread", "redis-NODE.main_thread", "redis.connections", "redis.memory"]),
    ("nginx", &["gateway.connections"]),
    ("nodejs", &["app.heap", "app.event_loop"]),
    ("node-exporter", &["node.cpu", "node.memory", "node.descriptors", "node.CARD_in", "node.CARD_out"]),
    ("process", &["app.cpu", "app.descriptors", "app.memory"]),
    ("bullmq", &["queue.workers"]),
];
const AUTO: &str = "auto";

pub fn names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, _)| *name).collect()
}

/// Whether a preset may call what it finds so.
pub fn may_find(preset: &str, name: &str) -> bool {
    given_by(preset).any(|given| is_one(given, name))
}

fn given_by(preset: &str) -> impl Iterator<Item = &'static str> {
    let these = PRESETS.iter().filter(move |(name, _)| preset == AUTO || *name == preset);
    these.flat_map(|(_, given)| given.iter().copied())
}

fn is_one(given: &str, name: &str) -> bool {
    let Some((head, tail)) = around_capitals(given) else { return given == name };
    name.len() > head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
}

/// What stands before and behind the word in capitals.
fn around_capitals(given: &str) -> Option<(&str, &str)> {
    let capital = |c: char| c.is_ascii_uppercase();
    let (head, rest) = given.split_at(given.find(capital)?);
    Some((head, rest.trim_start_matches(capital)))
}

/// The presets of a plan's sources, and how these are told apart.
pub(super) struct Found<'p> {
    /// Each with the name of its source.
    presets: Vec<(&'p str, &'p str)>,
}

impl<'p> Found<'p> {
    /// `bundled` brings a source of its own where there is no `observe`.
    pub(super) fn of(observe: &'p Observe, bundled: bool) -> Self {
        let written =
            observe.sources.iter().filter_map(|source| Some((&*source.name, source.preset.as_deref()?)));
        let default = (observe.defaulted && bundled).then_some(("", AUTO));
        Self { presets: written.chain(default).collect() }
    }

    /// Where several sources have a preset, what they find is called by its source.
    fn several(&self) -> bool {
        self.presets.len() > 1
    }

    pub(super) fn may_have(&self, name: &str) -> bool {
        self.presets.iter().any(|(source, preset)| {
            let inner = if self.several() { inside(name, source) } else { Some(name) };
            inner.is_some_and(|inner| may_find(preset, inner))
        })
    }

    /// The names that whoever wrote this one without its source, or with one too many, may mean.
    pub(super) fn meant_by(&self, name: &str) -> Vec<String> {
        let bare = self.bare(name);
        if (bare == name) != self.several() {
            return Vec::new();
        }
        let these = self.presets.iter().filter(|(_, preset)| may_find(preset, bare));
        these.map(|(source, _)| self.called(source, bare)).collect()
    }

    /// The name behind that of a source.
    fn bare<'n>(&self, name: &'n str) -> &'n str {
        self.presets.iter().find_map(|(source, _)| inside(name, source)).unwrap_or(name)
    }

    /// What something is called that a preset of `source` finds.
    fn called(&self, source: &str, bare: &str) -> String {
        if self.several() { format!("{source}.{bare}") } else { bare.to_owned() }
    }

    /// All names that there may be; for one whose first part only the page says, that of `name`.
    pub(super) fn like(&self, name: &str) -> Vec<String> {
        let owner = self.bare(name).rsplit_once('.').map(|(owner, _)| owner);
        let all = self.presets.iter().flat_map(|(source, preset)| {
            given_by(preset).map(move |given| match (around_capitals(given), owner) {
                (Some(("", tail)), Some(owner)) => self.called(source, &format!("{owner}{tail}")),
                _ => self.called(source, given),
            })
        });
        all.collect()
    }

    /// All names that there may be, with their words in capitals.
    pub(super) fn all(&self) -> Vec<String> {
        self.like("")
    }
}

/// The name behind that of its source.
fn inside<'n>(name: &'n str, source: &str) -> Option<&'n str> {
    name.strip_prefix(source)?.strip_prefix('.')
}
