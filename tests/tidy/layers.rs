//! The layers as data. A module imports its own layer and those below it, except what its row forbids; ARCHITECTURE.md says why.
//! What a row forbids beyond the order of layers is what would make the module impossible to use where it must be usable: a report
//! on a machine that has never run a test, an analysis of a record made a year ago, a transport in somebody's bench.

use crate::tree::{self, File, expect_none};
use regex::Regex;

/// From the ground up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Ground,
    Meaning,
    Measurement,
    Execution,
    Inference,
    Presentation,
    Shell,
}

struct Module {
    name: &'static str,
    layer: Layer,
    /// Modules of its own layer or below that it may not import all the same.
    never: &'static [&'static str],
    /// Paths outside this crate that its shipped code may not name.
    never_outside: &'static [&'static str],
}

/// What runs: a module that must work on a finished record alone may name none of these.
const RUNS: &[&str] = &["run", "engine", "transport", "probe", "clock"];
const NOTHING_OUTSIDE: &[&str] = &[];
/// Pure code: no runtime, no file, no socket, no thread.
const WORLD: &[&str] =
    &["tokio", "reqwest", "std::fs", "std::net::Tcp", "std::net::Udp", "std::thread", "std::env"];
/// The language reads scenario and data files and nothing else, so it may not do more than that.
const WORLD_BUT_FILES: &[&str] =
    &["tokio", "reqwest", "std::net::Tcp", "std::net::Udp", "std::thread", "std::env"];
const RUNTIME: &[&str] = &["tokio", "reqwest"];

const MODULES: &[Module] = &[
    module("units", Layer::Ground, &["clock", "seed", "limits", "endpoint"], WORLD),
    module("clock", Layer::Ground, &["seed", "limits", "endpoint"], NOTHING_OUTSIDE),
    module("seed", Layer::Ground, &["clock", "limits", "endpoint"], WORLD),
    module("limits", Layer::Ground, &["clock", "seed", "endpoint"], WORLD),
    module("endpoint", Layer::Ground, &["clock", "seed", "limits"], WORLD),
    module("threshold", Layer::Meaning, &["clock", "scenario", "load", "search"], WORLD),
    module("load", Layer::Meaning, &["clock", "scenario", "search", "threshold"], WORLD),
    module("fit", Layer::Meaning, &["clock", "scenario", "load", "search", "threshold"], WORLD),
    module("search", Layer::Meaning, &["clock", "load"], WORLD),
    module(
        "queueing",
        Layer::Meaning,
        &["clock", "seed", "limits", "endpoint", "threshold", "load", "search", "scenario"],
        WORLD,
    ),
    module(
        "promql",
        Layer::Meaning,
        &["clock", "seed", "endpoint", "threshold", "load", "search", "queueing", "scenario"],
        WORLD,
    ),
    module("scenario", Layer::Meaning, &["clock"], WORLD_BUT_FILES),
    module("measure", Layer::Measurement, &["scenario", "load", "probe"], WORLD),
    module("record", Layer::Measurement, &["scenario", "load", "probe", "clock"], RUNTIME),
    module(
        "probe",
        Layer::Measurement,
        &["scenario", "load", "search", "threshold", "measure"],
        NOTHING_OUTSIDE,
    ),
    module(
        "transport",
        Layer::Execution,
        &["run", "engine", "measure", "record", "probe", "scenario", "load", "search", "threshold"],
        NOTHING_OUTSIDE,
    ),
    module("engine", Layer::Execution, &["run", "record", "probe", "search", "threshold"], NOTHING_OUTSIDE),
    module(
        "preflight",
        Layer::Execution,
        &["run", "swarm", "engine", "transport", "search", "clock"],
        RUNTIME,
    ),
    module("swarm", Layer::Execution, &["run", "record", "search", "threshold"], NOTHING_OUTSIDE),
    module("run", Layer::Execution, &[], NOTHING_OUTSIDE),
    module("analyze", Layer::Inference, RUNS, WORLD),
    module(
        "report",
        Layer::Presentation,
        &["live", "run", "engine", "transport", "probe", "clock", "scenario"],
        WORLD,
    ),
    module(
        "live",
        Layer::Presentation,
        &["report", "analyze", "engine", "transport", "probe", "scenario"],
        RUNTIME,
    ),
    module(
        "cli",
        Layer::Shell,
        &["engine", "transport", "measure", "probe", "load", "search"],
        NOTHING_OUTSIDE,
    ),
    module("main", Layer::Shell, &[], NOTHING_OUTSIDE),
    module("lib", Layer::Shell, &[], NOTHING_OUTSIDE),
];

const fn module(
    name: &'static str,
    layer: Layer,
    never: &'static [&'static str],
    never_outside: &'static [&'static str],
) -> Module {
    Module { name, layer, never, never_outside }
}

fn find(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name)
}

/// `src/engine/open.rs` belongs to `engine`, `src/clock.rs` to `clock`.
fn owner(path: &str) -> &str {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').next().unwrap_or(inside)
}

/// What breaks the table, in files whose test modules are already left out.
fn findings(files: &[File]) -> Vec<String> {
    let imported = Regex::new(r"\b(?:crate|plimsoll)::(\{[^;]*|\w+)").expect("a pattern");
    let mut findings = Vec::new();
    for file in files {
        let name = owner(&file.path);
        let Some(module) = find(name) else {
            findings.push(format!("{}: `{name}` has no row in the table of layers", file.path));
            continue;
        };
        for (number, line) in file.code_without_tests() {
            let at = format!("{}:{number}", file.path);
            for found in imported.captures_iter(line) {
                match &found[1] {
                    braces if braces.starts_with('{') => {
                        findings.push(format!(
                            "{at}: import one module of this crate a line, so that layers can be read off"
                        ));
                    }
                    other if other == name => {}
                    other => findings.extend(judge(module, other).map(|why| format!("{at}: {why}"))),
                }
            }
            let outside = module.never_outside.iter().filter(|path| names(line, path));
            findings.extend(outside.map(|path| format!("{at}: `{name}` may never use `{path}`")));
        }
    }
    findings
}

fn judge(module: &Module, imported: &str) -> Option<String> {
    let name = module.name;
    let Some(other) = find(imported) else {
        // An item of the crate's root, or a macro: modules of ours all have a row.
        return None;
    };
    if other.layer > module.layer {
        return Some(format!(
            "`{name}` ({:?}) imports `{imported}` ({:?}): imports go down only",
            module.layer, other.layer
        ));
    }
    module.never.contains(&imported).then(|| format!("`{name}` may never import `{imported}`"))
}

/// Whether the line names this path (`tokio` does not mean `tokio_rustls`).
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let open_end = path.ends_with("Tcp") || path.ends_with("Udp");
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && (open_end || !after.is_some_and(|c| c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn imports_go_down_the_layers() {
    for (path, line) in [
        ("src/search/a.rs", "use crate::measure::span::Span;"),
        ("src/measure/a.rs", "    let plan: crate::scenario::plan::Plan;"),
        ("src/analyze/a.rs", "use crate::run::Options;"),
        ("src/analyze/a.rs", "use std::fs::File;"),
        ("src/load/a.rs", "    tokio::time::sleep(x).await;"),
        ("src/main.rs", "use plimsoll::{cli, run};"),
        ("src/novelty.rs", "fn a() {}"),
    ] {
        assert_eq!(findings(&[File::made_up(path, line)]).len(), 1, "{path}: {line}");
    }
    for (path, line) in [
        ("src/search/a.rs", "// crate::measure does not know of this"),
        ("src/search/a.rs", "use crate::search::Goal; use std::net::IpAddr;"),
        ("src/run/a.rs", "use tokio::sync::mpsc;"),
        ("src/search/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::measure::span::Span;\n}"),
    ] {
        expect_none(&findings(&[File::made_up(path, line)]));
    }
    expect_none(&findings(&tree::shipped()));
}

#[test]
fn every_row_of_the_table_is_a_module_that_exists_and_that_the_architecture_names() {
    let files = tree::all();
    let architecture =
        &files.iter().find(|file| file.path == "ARCHITECTURE.md").expect("ARCHITECTURE.md").text;
    for module in MODULES {
        let own = [format!("src/{}.rs", module.name), format!("src/{}/mod.rs", module.name)];
        assert!(files.iter().any(|file| own.contains(&file.path)), "there is no module `{}`", module.name);
        let named =
            [format!("`{}`", module.name), format!("`{}/`", module.name), format!("`{}.rs`", module.name)];
        assert!(
            named.iter().any(|name| architecture.contains(name)),
            "ARCHITECTURE.md does not say where `{}` belongs",
            module.name
        );
        for never in module.never {
            let forbidden = find(never).unwrap_or_else(|| panic!("`{}`: no module `{never}`", module.name));
            assert!(forbidden.layer <= module.layer, "`{}`: `{never}` is above it anyway", module.name);
        }
    }
}
