//! From files to one document: the scenario, what it includes, the chosen profile and the overrides of the command line, each
//! with its own text, so that a problem always points at what its author wrote.

use super::document::{self, Entry, Kind, Node, Scalar, Span};
use super::problem::{Problem, Sink, Source};
use super::{Overrides, keys, reader, suggest};
use crate::limits;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a file of the scenario: its bytes, or why not.
pub(super) type Files<'a> = &'a dyn Fn(&Path, u64) -> Result<Vec<u8>, String>;

/// All texts and the tree they make together.
pub(super) struct Composed {
    pub(super) sources: Vec<Source>,
    pub(super) root: Node,
    /// `load` and `thresholds` of the profiles that were not chosen; they are checked all the same.
    pub(super) other_profiles: Vec<Node>,
    pub(super) borrowed: Option<Borrowed>,
}

/// The chosen profile brings a load and leaves the thresholds of the file, which may name what only the file's load has.
#[derive(Clone, Copy)]
pub(super) struct Borrowed {
    /// The profile leaves the safety rules of the file, too.
    pub(super) rules: bool,
    /// How many sources are files. What the command line says is in those that follow, and was said for this load.
    files: usize,
}

impl Borrowed {
    /// Whether what is written there was written for another load.
    pub(super) fn holds(self, at: Span) -> bool {
        usize::from(at.source) < self.files
    }
}

/// Sections whose entries have names and are merged by them when files are joined.
const NAMED: [&str; 5] = ["vars", "secrets", "data", "scenarios", "profiles"];

/// Reads and joins everything. `Err` holds the sources when there is no tree to go on with.
pub(super) fn compose(
    path: &str,
    text: &str,
    overrides: &Overrides<'_>,
    files: Files<'_>,
    sink: &mut Sink,
) -> Result<Composed, Vec<Source>> {
    let mut sources = Vec::new();
    let mut stack = Vec::new();
    let Some(mut root) = file(path, text, &mut sources, &mut stack, files, sink) else {
        return Err(sources);
    };
    let files = sources.len();
    let (in_profiles, others): (Vec<_>, Vec<_>) =
        overrides.sets.iter().partition(|(path, _)| path.split('.').next() == Some("profiles"));
    apply_sets(&mut root, &in_profiles, &mut sources, sink);
    let chosen = overrides.profile.as_deref().and_then(|name| root.get("profiles")?.get(name));
    let borrowing = chosen.filter(|own| own.get("load").is_some() && own.get("thresholds").is_none());
    let borrowed = borrowing.map(|own| Borrowed {
        rules: own.get("safety").is_none_or(|safety| safety.get("abort_when").is_none()),
        files,
    });
    let other_profiles = apply_profile(&mut root, overrides, &mut sources, sink);
    // What the command line says holds over what a profile brings.
    apply_sets(&mut root, &others, &mut sources, sink);
    apply_dials(&mut root, overrides, &mut sources, sink);
    Ok(Composed { sources, root, other_profiles, borrowed })
}

fn add_source(sources: &mut Vec<Source>, name: &str, text: &str) -> u16 {
    sources.push(Source { name: name.to_owned(), text: Arc::from(text) });
    u16::try_from(sources.len() - 1).unwrap_or(u16::MAX)
}

fn whole(sources: &[Source], source: u16) -> Span {
    let length = sources.get(usize::from(source)).map_or(0, |s| s.text.len());
    Span { source, start: 0, end: u32::try_from(length).unwrap_or(u32::MAX) }
}

fn file(
    path: &str,
    text: &str,
    sources: &mut Vec<Source>,
    stack: &mut Vec<PathBuf>,
    files: Files<'_>,
    sink: &mut Sink,
) -> Option<Node> {
    let source = add_source(sources, path, text);
    let start = Span { source, start: 0, end: 1 };
    if text.len() as u64 > limits::SCENARIO_BYTES_MAX {
        sink.error(
            start,
            "this file is too large for a scenario",
            "put rows of data into a CSV file and name it under `data`",
        );
        return None;
    }
    let before = sink.has_errors();
    let Some(mut root) = document::parse(source, text, sink) else {
        if !sink.has_errors() || before {
            sink.error(
                start,
                "the scenario is empty",
                "`plimsoll help scenario` shows a small one to begin with",
            );
        }
        return None;
    };
    if root.entries().is_none() {
        sink.error(
            root.span,
            format!("a scenario is a mapping, not {}", root.what()),
            "begin with `plimsoll: 1`",
        );
        return None;
    }
    let includes = root.get("include").cloned();
    if let Some(includes) = includes {
        stack.push(PathBuf::from(path));
        for item in one_or_many(&includes) {
            include(path, item, &mut root, sources, stack, files, sink);
        }
        stack.pop();
    }
    Some(root)
}

fn one_or_many(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    }
}

fn include(
    from: &str,
    item: &Node,
    root: &mut Node,
    sources: &mut Vec<Source>,
    stack: &mut Vec<PathBuf>,
    files: Files<'_>,
    sink: &mut Sink,
) {
    let Some(name) = reader::text(item, "an included file", sink) else { return };
    let path = Path::new(from).parent().unwrap_or(Path::new("")).join(name);
    if stack.contains(&path) || stack.len() >= limits::CALL_DEPTH_MAX {
        sink.error(item.span, format!("`{name}` includes itself"), "remove one of the `include` lines");
        return;
    }
    let text = files(&path, limits::SCENARIO_BYTES_MAX)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
    match text {
        Err(reason) => sink.error(
            item.span,
            format!("cannot read `{}`: {reason}", path.display()),
            "paths are relative to the file that names them",
        ),
        Ok(text) => {
            if let Some(included) = file(&path.to_string_lossy(), &text, sources, stack, files, sink) {
                merge(root, included, sink);
            }
        }
    }
}

/// Adds what `root` does not have. Named entries are merged; the same name in both is an error, for neither file can win.
fn merge(root: &mut Node, included: Node, sink: &mut Sink) {
    let (Kind::Map(mine), Kind::Map(theirs)) = (&mut root.kind, included.kind) else { return };
    for entry in theirs {
        let Some(own) = mine.iter_mut().find(|own| own.key == entry.key) else {
            mine.push(entry);
            continue;
        };
        if !NAMED.contains(&entry.key.as_str()) {
            continue;
        }
        let (Kind::Map(own), Kind::Map(other)) = (&mut own.value.kind, entry.value.kind) else { continue };
        for named in other {
            match own.iter().find(|o| o.key == named.key) {
                None => own.push(named),
                Some(first) => sink.push(
                    Problem::error(
                        named.key_span,
                        format!("`{}.{}` is defined in two files", entry.key, named.key),
                    )
                    .label(first.key_span, "also here")
                    .help("rename one of the two"),
                ),
            }
        }
    }
}

fn apply_sets(root: &mut Node, sets: &[&(String, String)], sources: &mut Vec<Source>, sink: &mut Sink) {
    for (path, value) in sets {
        let source = add_source(sources, &format!("--set {path}"), value);
        let span = whole(sources, source);
        let parsed = document::parse(source, value, sink).unwrap_or(Node {
            span,
            kind: Kind::Scalar(Scalar { text: String::new(), plain: true, verbatim: None }),
        });
        if let Err(message) = set(root, path.split('.'), parsed, span) {
            sink.error(
                span,
                format!("--set {path}: {message}"),
                "write a path such as target.http or load.0.stages.1.to",
            );
        }
    }
}

/// Puts `value` at `path`; list items are chosen by number or by their `name`, missing mappings are made.
fn set<'p>(
    node: &mut Node,
    mut path: impl Iterator<Item = &'p str>,
    value: Node,
    span: Span,
) -> Result<(), String> {
    let Some(key) = path.next() else {
        *node = value;
        return Ok(());
    };
    if key.is_empty() {
        return Err("the path has an empty part".into());
    }
    if node.is_null() {
        node.kind = Kind::Map(Vec::new());
    }
    match &mut node.kind {
        Kind::Map(entries) => {
            let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
                let kind = Kind::Map(Vec::new());
                entries.push(Entry { key: key.to_owned(), key_span: span, value: Node { span, kind } });
                entries.len() - 1
            });
            set(&mut entries[index].value, path, value, span)
        }
        Kind::List(items) => {
            let named = |item: &Node| {
                item.get("name").and_then(Node::scalar).is_some_and(|scalar| scalar.text == key)
            };
            let index = key.parse::<usize>().ok().or_else(|| items.iter().position(named));
            let length = items.len();
            let item = index.and_then(|index| items.get_mut(index));
            set(
                item.ok_or_else(|| format!("there is no item `{key}` in a list of {length}"))?,
                path,
                value,
                span,
            )
        }
        Kind::Scalar(_) => Err(format!("there is no `{key}` inside a plain value")),
    }
}

/// Lays the chosen profile over the scenario: lists are replaced, mappings are merged key by key.
fn apply_profile(
    root: &mut Node,
    overrides: &Overrides<'_>,
    sources: &mut Vec<Source>,
    sink: &mut Sink,
) -> Vec<Node> {
    let profiles: Vec<Entry> = match root.get("profiles") {
        Some(node) => match node.entries() {
            Some(entries) => entries.to_vec(),
            None => {
                sink.error(
                    node.span,
                    "`profiles` is a mapping from names to sections",
                    "write profiles: {ci: {load: […]}}",
                );
                return Vec::new();
            }
        },
        None => Vec::new(),
    };
    let wanted = overrides.profile.as_deref();
    if let Some(name) = wanted.filter(|name| !profiles.iter().any(|entry| entry.key == *name)) {
        let source = add_source(sources, "--profile", name);
        let known: Vec<&str> = profiles.iter().map(|entry| entry.key.as_str()).collect();
        let help = suggest::hint(name, known).or_else(|| Some("the scenario has no `profiles`".into()));
        sink.push(
            Problem::error(whole(sources, source), format!("there is no profile `{name}`")).maybe_help(help),
        );
    }
    let mut others = Vec::new();
    for profile in profiles {
        if reader::Fields::open(&profile.value, &keys::PROFILE, sink).is_none() {
            continue;
        }
        if wanted == Some(profile.key.as_str()) {
            overlay(root, profile.value);
        } else {
            others.push(profile.value);
        }
    }
    others
}

fn overlay(root: &mut Node, profile: Node) {
    let (Kind::Map(entries), Kind::Map(changes)) = (&mut root.kind, profile.kind) else { return };
    for change in changes {
        let Some(own) = entries.iter_mut().find(|own| own.key == change.key) else {
            entries.push(change);
            continue;
        };
        match (&mut own.value.kind, change.value.kind) {
            (Kind::Map(mine), Kind::Map(theirs)) => {
                for entry in theirs {
                    mine.retain(|own| own.key != entry.key);
                    mine.push(entry);
                }
            }
            (_, kind) => own.value = Node { span: change.value.span, kind },
        }
    }
}

fn apply_dials(root: &mut Node, overrides: &Overrides<'_>, sources: &mut Vec<Source>, sink: &mut Sink) {
    for (name, value) in &overrides.dials {
        let source = add_source(sources, &format!("--dial {name}"), value);
        let span = whole(sources, source);
        if root.get("target").is_none_or(|target| target.get("bundled").is_none()) {
            sink.error(
                span,
                "--dial turns a dial of the bundled target, and this scenario has another",
                "write target: {bundled: baseline}, or leave --dial out",
            );
            continue;
        }
        let scalar = Scalar { text: value.clone(), plain: false, verbatim: Some(0) };
        let node = Node { span, kind: Kind::Scalar(scalar) };
        // A dial's name has dots of its own, so it is one part of the path.
        if set(root, ["target", "dials", name.as_str()].into_iter(), node, span).is_err() {
            sink.error(span, "`target.dials` is not a mapping", "write dials: {mongodb.max_pool_size: 20}");
        }
    }
}
