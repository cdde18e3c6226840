//! The alert rules that ship: they name only what the app exports, each of them is tried, and the one that corrects the notes
//! says so. What they do at a real Prometheus is in `prometheus`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use target_app::route::Route;

use crate::faults::Breakable;
use crate::support::Scrape;

/// What node_exporter has, not the app.
const OF_THE_NODE: [&str; 2] = ["node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"];
/// What Prometheus itself says of each target, and the labels that it gives to all it scrapes.
const OF_PROMETHEUS: &str = "up";
const OF_EVERY_TARGET: [&str; 2] = ["job", "instance"];
/// The rule of the notes that is none: shown in a comment, and in a case that it gets wrong.
const VERBATIM: &str = "avg(rate(http_request_duration_seconds_sum[5m])) > 0.5";

/// A file of `deploy/`.
pub(crate) fn deployed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

pub(crate) fn text_of(name: &str) -> String {
    std::fs::read_to_string(deployed(name)).unwrap()
}

/// One rule, as the file has it.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    pub(crate) alert: String,
    expr: String,
    annotations: String,
}

/// The rules of a file in the form that ours has; a real Prometheus is asked in `prometheus` whether it sees as many.
pub(crate) fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut key = "";
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            rules.push(Rule { alert: alert.to_owned(), ..Rule::default() });
            continue;
        }
        let Some(rule) = rules.last_mut() else { continue };
        let keys = ["expr", "for", "labels", "severity", "annotations", "summary", "description"];
        let named = line
            .split_once(':')
            .and_then(|(word, rest)| keys.into_iter().find(|key| *key == word).map(|key| (key, rest.trim())));
        let rest = named.map_or(line, |(_, rest)| rest.trim_start_matches('>'));
        key = named.map_or(key, |(key, _)| key);
        let place = match key {
            "expr" => &mut rule.expr,
            "summary" | "description" => &mut rule.annotations,
            _ => continue,
        };
        place.push_str(rest);
        place.push(' ');
    }
    rules
}

/// What an expression reads: the labels it matches of each metric, and those it keeps of the result.
#[derive(Debug, Default, PartialEq)]
struct Named {
    metrics: BTreeMap<String, Vec<(String, String)>>,
    /// None without `by`: then all labels stay.
    kept: Option<BTreeSet<String>>,
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Splits off the name a text begins with.
fn name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_of_a_name(c)).unwrap_or(text.len()))
}

/// As much of PromQL as the rules use.
fn named(expr: &str) -> Named {
    let mut named = Named::default();
    let mut rest = expr.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            rest = &rest[rest.find(']').unwrap()..];
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c| is_of_a_name(c) || c == '.');
        } else if is_of_a_name(first) {
            let (word, after) = name(rest);
            rest = after.trim_start();
            if word == "by" {
                let (list, after) = rest[1..].split_once(')').unwrap();
                let labels = list.split(',').map(|label| label.trim().to_owned());
                named.kept.get_or_insert_default().extend(labels);
                rest = after;
            } else if !rest.starts_with('(')
                && !rest.starts_with("by ")
                && !["and", "or", "unless", "on"].contains(&word)
            {
                let labels = named.metrics.entry(word.to_owned()).or_default();
                if let Some(inside) = rest.strip_prefix('{') {
                    let (matchers, after) = inside.split_once("\"}").unwrap();
                    for matcher in matchers.split("\",") {
                        let (label, operator) = name(matcher.trim());
                        let value = operator.trim_start_matches(['=', '!', '~', '"']);
                        labels.push((label.to_owned(), value.to_owned()));
                    }
                    rest = after;
                }
            }
        }
        rest = rest.trim_start_matches(|c: char| !is_of_a_name(c) && c != '[');
    }
    named
}

/// The metrics of a scrape with their labels.
fn exported(scrape: &Scrape) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut exported: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in scrape.0.lines().filter(|line| !line.starts_with('#')) {
        let (metric, rest) = name(line);
        let labels =
            rest.strip_prefix('{').and_then(|rest| rest.split_once("\"}")).map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").map(|label| name(label).0).filter(|label| !label.is_empty());
        exported.entry(metric).or_default().extend(labels);
    }
    exported
}

/// What is wrong with a rule in the light of what there is.
fn findings(rule: &Rule, exported: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut findings = Vec::new();
    let named = named(&rule.expr);
    let bare = BTreeSet::new();
    let mut of_all: BTreeSet<&str> = OF_EVERY_TARGET.into();
    for (metric, matchers) in &named.metrics {
        let foreign = OF_THE_NODE.contains(&metric.as_str()) || metric == OF_PROMETHEUS;
        let Some(own) = exported.get(metric.as_str()).or(foreign.then_some(&bare)) else {
            findings.push(format!("{}: there is no {metric}", rule.alert));
            continue;
        };
        of_all.extend(own);
        for (label, value) in matchers {
            if !own.contains(label.as_str()) && !OF_EVERY_TARGET.contains(&label.as_str()) {
                findings.push(format!("{}: {metric} has no label {label}", rule.alert));
            }
            let routes = value.split('|').filter(|_| label == "route");
            let unknown =
                routes.filter(|route| Route::matching("GET", route).is_none_or(|r| r.template != *route));
            findings.extend(unknown.map(|route| format!("{}: there is no route {route}", rule.alert)));
        }
    }
    let grouped = named.kept.iter().flatten().map(String::as_str);
    let strange = grouped.filter(|label| !of_all.contains(label));
    findings.extend(strange.map(|label| format!("{}: nothing has the label {label}", rule.alert)));
    let left = |label: &str| named.kept.as_ref().map_or(of_all.contains(label), |kept| kept.contains(label));
    for said in rule.annotations.split("$labels.").skip(1).map(|rest| name(rest).0) {
        if !left(said) {
            findings.push(format!("{}: its annotations say {said}, which its result has not", rule.alert));
        }
    }
    // What the person who is called is told to look at has to be there as well.
    for word in rule.annotations.split(|c| !is_of_a_name(c)) {
        let units = ["_total", "_bytes", "_seconds", "_sum", "_count", "_bucket", "_connections", "_fds"];
        let metric = units.iter().any(|unit| word.len() > unit.len() && word.ends_with(unit));
        if metric && !exported.contains_key(word) {
            findings.push(format!("{}: its annotations name {word}, which there is not", rule.alert));
        }
    }
    findings
}

#[test]
fn an_expression_is_read_as_prometheus_reads_it() {
    let read = named("sum by (job, a_b) (rate(x_total{c=~\"5..\", d!=\"/m|/n\"}[5m])) / 1.5e3 > up and y");
    let pair = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    let x = ("x_total".to_owned(), vec![pair("c", "5.."), pair("d", "/m|/n")]);
    let metrics = [x, ("up".to_owned(), vec![]), ("y".to_owned(), vec![])].into();
    assert_eq!(read, Named { metrics, kept: Some(["job".to_owned(), "a_b".to_owned()].into()) });
}

#[test]
fn a_rule_that_names_what_is_not_there_is_seen() {
    let rule = |expr: &str, annotations: &str| Rule {
        alert: "A".to_owned(),
        expr: expr.to_owned(),
        annotations: annotations.to_owned(),
    };
    let scrape = Scrape("x_total{status=\"200\",route=\"/a\"} 1\n".to_owned());
    let wrong = [
        rule("y_total > 1", ""),
        rule("x_total{code=\"1\"}", ""),
        rule("x_total{route=\"/healthz|/nowhere\"}", ""),
        rule("sum by (pool) (x_total)", ""),
        rule("sum by (job) (x_total)", "{{ $labels.status }}"),
        rule("x_total", "look at y_bytes"),
    ];
    let found: Vec<_> = wrong.iter().flat_map(|rule| findings(rule, &exported(&scrape))).collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    A: there is no y_total
    A: x_total has no label code
    A: there is no route /nowhere
    A: nothing has the label pool
    A: its annotations say status, which its result has not
    A: its annotations name y_bytes, which there is not
    ");
}

#[tokio::test]
async fn the_rules_name_only_what_the_app_exports() {
    let fleet = Breakable::serving(&["--replicas", "2"]);
    assert_eq!(fleet.app.get("/api/products/1").await.status.as_u16(), 200);
    // Some figures are there once a replica has told them.
    let told = |scrape: &Scrape| scrape.sum("http_requests_total", &["/api/products/{id}"]) > 0.0;
    let scrape = fleet.app.scrape_until(told).await;
    let rules = rules(&text_of("alerts.yml"));
    assert!(rules.len() >= 12, "{} rules were read", rules.len());
    let found: Vec<_> = rules.iter().flat_map(|rule| findings(rule, &exported(&scrape))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A case that expects nothing of an alert that does not exist would always pass.
#[test]
fn every_alert_is_seen_to_fire_and_not_to_fire() {
    let cases = text_of("alerts_test.yml");
    let known: BTreeSet<_> = rules(&text_of("alerts.yml")).into_iter().map(|rule| rule.alert).collect();
    for alert in &known {
        assert!(
            cases.contains(&format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"")),
            "{alert} never fires"
        );
        let asked = format!("- expr: 'ALERTS{{alertname=\"{alert}\"}}'");
        let silent = cases
            .split(&asked)
            .skip(1)
            .any(|case| case.lines().nth(2).is_some_and(|line| line.trim() == "exp_samples: []"));
        assert!(silent, "{alert} is never seen not to fire");
    }
    let asked: BTreeSet<_> =
        cases.split("alertname=\"").skip(1).map(|rest| name(rest).0.to_owned()).collect();
    assert_eq!(asked, known);
}

#[test]
fn the_rule_of_the_notes_that_is_wrong_stands_beside_its_correction() {
    let notes = include_str!("../../../docs/production-scaling-notes.md");
    assert!(notes.lines().any(|line| line == VERBATIM), "the notes have it");
    let rules = text_of("alerts.yml");
    let comment = rules.find(&format!("#   {VERBATIM}\n")).expect("the comment");
    assert!(comment < rules.find("- alert: MeanLatencyAbove500ms").expect("the rule"));
    assert_eq!(text_of("alerts_test.yml").matches(&format!("expr: '{VERBATIM}'")).count(), 2);
    let node =
        "(node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes) / node_memory_MemTotal_bytes > 0.8";
    assert!(notes.lines().any(|line| line == node) && rules.contains(&format!("expr: {node}\n")));
}
