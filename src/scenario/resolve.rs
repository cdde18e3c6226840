//! From the composed document to the plan. Sections are read in the order in which their names are needed: constants, data,
//! target, load (which journeys run), journeys, and last the thresholds that name what the others made.

use super::builder::Builder;
use super::compose::{Composed, Files};
use super::document::{Entry, Node, Span};
use super::plan::{Observe, Plan, Safety, TargetKind};
use super::problem::{Problem, Problems};
use super::reader::{self, Fields};
use super::recipe::Recipe;
use super::steps::{Walk, captured_names};
use super::tls::Home;
use super::{Overrides, keys, rows};
use std::collections::HashSet;
use std::path::Path;

/// The version of the language this tool reads.
const VERSION: &str = "1";

/// The seed of a scenario that names none: the same numbers on every run.
const DEFAULT_SEED: u64 = 1;

pub(super) fn resolve(
    path: &str,
    composed: Composed,
    overrides: &Overrides<'_>,
    files: Files<'_>,
    mut builder: Builder<'_>,
) -> Result<Plan, Problems> {
    let Composed { sources, root, other_profiles, borrowed } = composed;
    let Some(top) = Fields::open(&root, &keys::TOP, &mut builder.sink) else {
        return Err(builder.sink.finish(&sources));
    };
    version(&top, &mut builder);
    for key in keys::SET_ASIDE.iter().filter(|key| top.get(key).is_some()) {
        let problem =
            Problem::warning(top.key_span(key), format!("`{key}` is read and ignored in this version"));
        builder.sink.push(problem.help("it does no harm, and it does nothing yet"));
    }
    if let Some(node) = top.get("secrets") {
        builder.secrets(node);
    }
    if let Some(node) = top.get("vars") {
        builder.vars(node);
    }
    if let Some(node) = top.get("data") {
        builder.data_tables(node, &sources, files);
    }
    let name = top.get("name").and_then(|node| builder.fixed(node, "`name`"));
    let name = name.unwrap_or_else(|| {
        Path::new(path).file_stem().map_or("scenario".into(), |stem| stem.to_string_lossy().into_owned())
    });
    let seed = top.get("seed").and_then(|node| reader::count(node, "`seed`", &mut builder.sink));
    let mut safety = builder.safety(top.get("safety"));
    let swarm = builder.swarm(top.get("swarm"));
    let target = match top.get("target") {
        Some(node) => builder.target(node, &safety, &Home { sources: &sources, files }),
        None => {
            builder.missing(
                top.span,
                "target",
                "write target: {bundled: baseline}, or target: {http: \"http://127.0.0.1:8080\"}",
            );
            None
        }
    };
    if let Some(target) = &target {
        builder.timeout = target.timeout;
    }
    let bundled = matches!(&target, Some(target) if matches!(target.kind, TargetKind::Bundled { .. }));
    builder.bundled = bundled;
    let observe = builder.observe(top.get("observe"), bundled, &safety);

    let pieces = pieces(&top, &mut builder);
    let mut order = Vec::new();
    let load = match top.get("load") {
        Some(node) => builder.load(node, pieces, &mut order, &safety),
        None => {
            // With a profile that does not exist, that is what is wrong.
            if overrides.profile.is_none() {
                builder.missing(top.span, "load", &load_help(&top));
            }
            Vec::new()
        }
    };
    builder.windows_within(top.get("observe"), &observe, &load);
    for entry in pieces {
        captured_names(&entry.value, &mut builder.captured);
    }
    // Headers of the target go with the requests of all of them.
    let read_by_all = std::mem::take(&mut builder.reads);
    let (journeys, reads): (Vec<_>, Vec<_>) = order
        .iter()
        .filter_map(|name| pieces.iter().find(|entry| entry.key == *name))
        .map(|entry| {
            builder.reads.clone_from(&read_by_all);
            (builder.journey(entry, &mut Walk::new(pieces)), std::mem::take(&mut builder.reads))
        })
        .unzip();
    let seed = overrides.seed.or(seed).unwrap_or(DEFAULT_SEED);
    let data_at = top.get("data").map_or(top.span, |node| node.span);
    rows::deal(&mut builder.tables, &load, &journeys, &reads, (seed, data_at), &mut builder.sink);
    builder.check_goals();
    let mut thresholds = Vec::new();
    if let Some(node) = top.get("thresholds") {
        let written = builder.thresholds(node, "`thresholds`");
        thresholds = builder.fitting(node, written, &load, &observe, borrowed);
    }
    if let Some(node) = top.get("safety").and_then(|node| node.get("abort_when")) {
        let written = std::mem::take(&mut safety.abort_when);
        let borrowed = borrowed.filter(|borrowed| borrowed.rules);
        safety.abort_when = builder.fitting(node, written, &load, &observe, borrowed);
    }
    // What follows is only read for its problems: the plan's own endpoints and variables are complete.
    let registry = builder.registry.clone();
    read_the_rest(&mut builder, &other_profiles, pieces, &order, &safety, &observe);
    if builder.sink.has_errors() {
        return Err(builder.sink.finish(&sources));
    }
    let Some(target) = target else { return Err(builder.sink.finish(&sources)) };
    Ok(Plan {
        name,
        // Known once every file has been read.
        recipe: Recipe::default(),
        seed,
        target,
        safety,
        swarm,
        endpoints: registry.endpoints,
        journeys,
        load,
        data: builder.tables,
        observe,
        thresholds,
        slots: registry.slots,
        sockets: registry.sockets,
        streams: registry.streams,
        redact: builder.secrets.into_values().filter(|value| !value.is_empty()).collect(),
        warnings: builder.sink.finish(&sources),
    })
}

fn version(top: &Fields<'_>, builder: &mut Builder<'_>) {
    let Some(node) = top.get("plimsoll") else {
        let start = Span { start: 0, end: 1, ..top.span };
        builder.sink.error(
            start,
            "the version of the language is missing",
            "begin the file with `plimsoll: 1`",
        );
        return;
    };
    if let Some(text) = reader::text(node, "the version", &mut builder.sink)
        && text != VERSION
    {
        builder.sink.error(
            node.span,
            format!("this tool reads version {VERSION} of the language, not {text}"),
            "write `plimsoll: 1`",
        );
    }
}

fn pieces<'n>(top: &Fields<'n>, builder: &mut Builder<'_>) -> &'n [Entry] {
    let help = "write scenarios: {browse: {steps: [{get: /}]}}";
    let Some(node) = top.need("scenarios", help, &mut builder.sink) else { return &[] };
    let Some(entries) = node.entries() else {
        builder.sink.error(
            node.span,
            format!("`scenarios` is a mapping from names to steps, not {}", node.what()),
            help,
        );
        return &[];
    };
    entries
}

fn load_help(top: &Fields<'_>) -> String {
    let profiles = top.get("profiles").and_then(Node::entries).unwrap_or_default();
    let names: Vec<&str> = profiles.iter().map(|entry| entry.key.as_str()).collect();
    if names.is_empty() {
        "write load: [{run: SCENARIO, executor: closed, stages: [{to: 10, over: 10s}, {hold: 1m}]}]".into()
    } else {
        format!("choose one with --profile: {}", names.join(", "))
    }
}

/// Profiles that were not chosen, and scenarios that no load runs.
fn read_the_rest(
    builder: &mut Builder<'_>,
    profiles: &[Node],
    pieces: &[Entry],
    order: &[String],
    safety: &Safety,
    observe: &Observe,
) {
    let mut also_run = order.to_vec();
    let mut loads = Vec::new();
    for profile in profiles {
        let load = profile.get("load").map(|node| builder.load(node, pieces, &mut also_run, safety));
        loads.push((profile, load));
    }
    let called: HashSet<String> = pieces.iter().flat_map(|entry| called_names(&entry.value)).collect();
    for entry in pieces.iter().filter(|entry| !order.contains(&entry.key)) {
        // A piece that is only called may lean on what its callers captured; reading it there has checked that.
        builder.follow = also_run.contains(&entry.key) || !called.contains(&entry.key);
        builder.journey(entry, &mut Walk::new(pieces));
    }
    builder.check_goals();
    for (profile, load) in loads {
        let bundled = builder.bundled;
        builder.bundled = profile.get("target").map_or(bundled, |target| target.get("bundled").is_some());
        // What it observes takes the place of what the file does.
        let own = match profile.get("observe") {
            Some(node) => observed_by(builder, profile, node, safety),
            None => Some(observe.clone()),
        };
        if let (Some(node), Some(load)) = (profile.get("thresholds"), load) {
            let thresholds = builder.thresholds(node, "`thresholds`");
            if let Some(own) = own {
                builder.fitting(node, thresholds, &load, &own, None);
            }
        }
        builder.bundled = bundled;
    }
}

/// What a profile that was not chosen observes; `None` where its sources are none that can be read here: their addresses may be in the environment of
/// another machine.
fn observed_by(
    builder: &mut Builder<'_>,
    profile: &Node,
    observe: &Node,
    safety: &Safety,
) -> Option<Observe> {
    // Whatever is wrong with what is only looked at here is no problem of this plan.
    let told = std::mem::take(&mut builder.sink);
    let hosts = profile.get("safety").and_then(|node| node.get("allow_hosts"));
    let hosts = hosts.map(|hosts| reader::list(hosts, "`allow_hosts`", &mut builder.sink));
    let hosts = hosts.map(|hosts| hosts.iter().filter_map(|host| builder.fixed(host, "a host")).collect());
    let sources = reader::list(observe, "`observe`", &mut builder.sink).iter();
    let addresses = sources.flat_map(|source| ["scrape", "prometheus", "name"].map(|key| source.get(key)));
    let mut addresses = addresses.flatten();
    let known = addresses.all(|node| builder.fixed(node, "an address").is_some());
    builder.sink = told;
    let allow_hosts = hosts.unwrap_or_else(|| safety.allow_hosts.clone());
    let safety = Safety { allow_hosts, ..safety.clone() };
    known.then(|| builder.observe(Some(observe), builder.bundled, &safety))
}

fn called_names(node: &Node) -> Vec<String> {
    use super::document::Kind;
    match &node.kind {
        Kind::Scalar(_) => Vec::new(),
        Kind::List(items) => items.iter().flat_map(called_names).collect(),
        Kind::Map(entries) => entries
            .iter()
            .flat_map(|entry| match (entry.key.as_str(), entry.value.scalar()) {
                ("call", Some(scalar)) => vec![scalar.text.clone()],
                _ => called_names(&entry.value),
            })
            .collect(),
    }
}
