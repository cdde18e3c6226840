//! The JSON Schema of the language, for editors. Its keys are those of the key tables the readers use, so the two cannot drift
//! apart; only the shapes of values are written here. `plimsoll check` knows more than a schema can say.

use super::keys::{self, STEPS, Section};
use super::presets;
use crate::limits::TARGET_REPLICAS_MAX;
use serde_json::{Value, json};

/// JSON Schema, draft 2020-12.
pub fn schema() -> Value {
    let mut root = object(&keys::TOP, &["plimsoll", "target", "scenarios"], top_shape);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Plimsoll scenario, version 1");
    // An editor wants the steps of all journeys from one place.
    root["$defs"] = json!({"steps": list(step())});
    root
}

/// A mapping with the keys of a section and no others.
fn object(section: &Section, required: &[&str], shape: fn(&str) -> Value) -> Value {
    let properties: serde_json::Map<String, Value> =
        section.keys.iter().map(|key| ((*key).to_owned(), shape(key))).collect();
    json!({
        "type": "object", "description": section.what, "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn any(_: &str) -> Value {
    json!({})
}

fn list(items: Value) -> Value {
    json!({"type": ["array", "null"], "items": items})
}

fn named(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

fn one_of(words: &[&str]) -> Value {
    json!({"enum": words})
}

fn steps() -> Value {
    json!({"$ref": "#/$defs/steps"})
}

/// Text with a unit, as `units` reads it.
fn pattern(pattern: &str, examples: &[&str]) -> Value {
    json!({"type": "string", "pattern": pattern, "examples": examples})
}

fn duration() -> Value {
    pattern(r"^([0-9.]+(d|h|m|s|ms|us|µs|ns))+$", &["250ms", "10s", "1m30s"])
}

fn rate() -> Value {
    pattern(r"^[0-9.]+[kM]?/(s|m|min|h)$", &["200/s", "30/m"])
}

fn count() -> Value {
    json!({"anyOf": [{"type": "integer", "minimum": 0}, pattern(r"^[0-9.]+[kM]$", &["20k"])]})
}

fn percent() -> Value {
    pattern(r"^[0-9.]+ ?%$", &["5%"])
}

fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn top_shape(key: &str) -> Value {
    match key {
        "plimsoll" => json!({"const": 1}),
        "seed" => count(),
        "include" => json!({"type": ["string", "array"]}),
        "target" => object(&keys::TARGET, &[], target_shape),
        "safety" => object(&keys::SAFETY, &[], safety_shape),
        "swarm" => object(&keys::SWARM, &[], swarm_shape),
        "vars" => named(text()),
        "secrets" => named(object(&keys::SECRET, &["env"], any)),
        "data" => named(object(&keys::TABLE, &[], table_shape)),
        "scenarios" => named(object(&keys::JOURNEY, &["steps"], journey_shape)),
        "load" => list(part()),
        "profiles" => named(object(&keys::PROFILE, &[], top_shape)),
        "observe" => list(object(&keys::SOURCE, &[], source_shape)),
        "thresholds" => list(json!({"type": "string"})),
        _ => any(key),
    }
}

fn generator_shape(key: &str) -> Value {
    match key {
        "cpu" | "run_queue" => percent(),
        _ => duration(),
    }
}

fn target_shape(key: &str) -> Value {
    match key {
        "timeout" | "connect_timeout" => duration(),
        "connections" => one_of(&["per_user", "shared", "fresh"]),
        "http_version" => json!({"enum": ["auto", "1.1", "2", 1.1, 2]}),
        "tls" => object(&keys::TLS, &[], tls_shape),
        "connect_to" => json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        "headers" | "dials" => named(text()),
        "replicas" => json!({"type": "integer", "minimum": 1, "maximum": TARGET_REPLICAS_MAX}),
        _ => any(key),
    }
}

fn swarm_shape(key: &str) -> Value {
    match key {
        "agents" => json!({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
        "source_ips" => {
            json!({"anyOf": [{"const": "auto"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]})
        }
        _ => any(key),
    }
}

fn tls_shape(key: &str) -> Value {
    match key {
        "verify" | "resumption" => json!({"type": "boolean"}),
        "min_version" | "max_version" => json!({"enum": ["1.2", "1.3", 1.2, 1.3]}),
        _ => json!({"type": "string"}),
    }
}

fn safety_shape(key: &str) -> Value {
    match key {
        "allow_hosts" | "abort_when" => list(json!({"type": "string"})),
        "max_users" => count(),
        "max_rate" => rate(),
        "generator" => object(&keys::GENERATOR, &[], generator_shape),
        _ => any(key),
    }
}

fn table_shape(key: &str) -> Value {
    match key {
        "values" | "rows" => json!({"type": "array", "minItems": 1}),
        "take" => one_of(&["unique", "sequential", "random"]),
        "at_end" => one_of(&["recycle", "stop_user", "fail"]),
        _ => any(key),
    }
}

fn source_shape(key: &str) -> Value {
    match key {
        "every" => duration(),
        "preset" => one_of(&presets::names()),
        "resources" => named(resource()),
        "signals" => named(json!({"type": "string"})),
        _ => any(key),
    }
}

fn resource() -> Value {
    let roles: serde_json::Map<String, Value> =
        keys::ROLES.iter().map(|role| ((*role).to_owned(), json!({"type": "string"}))).collect();
    let used = [json!({"required": ["used"]}), json!({"required": ["used_seconds"]})];
    json!({"type": "object", "properties": roles, "additionalProperties": false, "anyOf": used})
}

fn journey_shape(key: &str) -> Value {
    match key {
        "pacing" => object(&keys::PACING, &["every"], |_| duration()),
        "lifetime" => one_of(&["loop", "once"]),
        _ => steps(),
    }
}

fn step() -> Value {
    let mut forms: Vec<Value> =
        STEPS.iter().map(|(verb, section)| object(section, &[verb], step_shape)).collect();
    forms.push(json!({"const": "stop_user"}));
    json!({"anyOf": forms})
}

fn step_shape(key: &str) -> Value {
    match key {
        "then" | "else" | "steps" => steps(),
        "choose" => {
            list(object(&keys::BRANCH, &["weight"], |key| if key == "weight" { count() } else { steps() }))
        }
        "headers" => named(text()),
        "extract" => named(json!({"type": "string"})),
        "timeout" | "within" | "every" => duration(),
        "binary" | "resend" => json!({"type": "boolean"}),
        "reconnect" => {
            object(&keys::RECONNECT, &["max"], |key| if key == "max" { count() } else { any(key) })
        }
        "repeat" => json!({"anyOf": [count(), object(&keys::REPEAT_RULES, &["max"], any)]}),
        "expect" => object(&keys::EXPECT, &[], any),
        _ => any(key),
    }
}

fn part() -> Value {
    let executors = keys::EXECUTORS.iter().zip([&keys::CLOSED, &keys::OPEN, &keys::STEP, &keys::BREAKPOINT]);
    let form = |(name, section): (&&str, &&'static Section)| {
        let mut form = object(section, &["run", "executor"], part_shape);
        form["properties"]["executor"] = json!({"const": name});
        form
    };
    json!({"anyOf": executors.map(|(name, section)| form((name, &section))).collect::<Vec<_>>()})
}

fn part_shape(key: &str) -> Value {
    match key {
        "start" | "graceful_stop" | "ramp" | "settle" | "hold" | "window" | "cooldown" => duration(),
        "stages" => list(object(&keys::STAGE, &[], |key| match key {
            "over" | "hold" => duration(),
            "to" => json!({"anyOf": [count(), rate()]}),
            _ => any(key),
        })),
        "arrivals" => one_of(&["uniform", "poisson"]),
        "late" => one_of(&["queue", "drop"]),
        "of" => one_of(&["users", "rate"]),
        "max_in_flight" | "windows" => count(),
        "from" | "to" | "by" => json!({"anyOf": [count(), rate()]}),
        "exceed" | "precision" => percent(),
        "guarantee" => object(&keys::GUARANTEE, &["soak"], |_| duration()),
        "grow" => pattern(r"^[0-9.]+x$", &["2x"]),
        "fail_when" => list(json!({"type": "string"})),
        _ => any(key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::builder::plain_json;
    use super::super::document::{self, Kind, Node};
    use super::super::problem::Sink;
    use super::*;

    /// A document as the JSON an editor's validator sees.
    fn json_of(node: &Node) -> Value {
        match &node.kind {
            _ if node.is_null() => Value::Null,
            Kind::List(items) => items.iter().map(json_of).collect(),
            Kind::Map(entries) => entries.iter().map(|e| (e.key.clone(), json_of(&e.value))).collect(),
            Kind::Scalar(scalar) => {
                let plain = scalar.plain.then(|| plain_json(&scalar.text)).flatten();
                plain
                    .and_then(|json| serde_json::from_str(&json).ok())
                    .unwrap_or_else(|| Value::from(scalar.text.as_str()))
            }
        }
    }

    fn fits(text: &str) -> bool {
        let node = document::parse(0, text, &mut Sink::default()).expect("YAML");
        jsonschema::validator_for(&schema()).expect("a valid schema").is_valid(&json_of(&node))
    }

    #[test]
    fn shipped_scenarios_fit_the_schema_and_bad_ones_do_not() {
        for text in [
            include_str!("../../scenarios/smoke.yaml"),
            include_str!("../../scenarios/shop.yaml"),
            include_str!("../../scenarios/mongo-ceiling.yaml"),
            include_str!("../../scenarios/steady-open.yaml"),
        ] {
            assert!(fits(text));
        }
        for text in [
            include_str!("tests/bad/keys.yaml"),
            include_str!("tests/bad/units.yaml"),
            include_str!("tests/bad/target.yaml"),
            include_str!("tests/bad/list.yaml"),
        ] {
            assert!(!fits(text));
        }
    }

    #[test]
    fn the_page_of_the_language_names_every_key() {
        let page = super::super::REFERENCE;
        let sections = [
            &keys::TOP,
            &keys::TARGET,
            &keys::SAFETY,
            &keys::TABLE,
            &keys::JOURNEY,
            &keys::REQUEST,
            &keys::EXPECT,
            &keys::WS_OPEN,
            &keys::WS_SEND,
            &keys::WS_EXPECT,
            &keys::WS_LISTEN,
            &keys::SSE_OPEN,
            &keys::SSE_EXPECT,
            &keys::SSE_LISTEN,
            &keys::RECONNECT,
            &keys::OPEN,
            &keys::STEP,
            &keys::BREAKPOINT,
            &keys::GUARANTEE,
            &keys::STAGE,
            &keys::SOURCE,
        ];
        let words: std::collections::HashSet<&str> =
            page.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        for section in sections {
            for key in section.keys {
                assert!(words.contains(key), "{key} of {} is not on the page", section.what);
            }
        }
    }
}
