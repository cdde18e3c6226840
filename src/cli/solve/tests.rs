//! The pages and documents of made-up models, in process.

use super::*;
use crate::cli;
use std::ffi::OsString;

/// Exit code, standard output, standard error.
fn called(model: &str, options: &[&str]) -> (u8, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.json");
    std::fs::write(&path, model).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut args: Vec<OsString> = vec!["plimsoll".into(), "solve".into(), path.clone().into()];
    args.extend(options.iter().map(OsString::from));
    let mut process = Process {
        args,
        env: &|_| None,
        out: &mut out,
        err: &mut err,
        color: false,
        terminal: false,
        executable: "plimsoll".into(),
    };
    let code = cli::main(&mut process);
    let text =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&path.display().to_string(), "model.json");
    (code, text(out), text(err))
}

fn told(model: &str, options: &[&str]) -> String {
    let (code, out, err) = called(model, options);
    assert_eq!((code, err.as_str()), (exit::OK, ""));
    out
}

/// A document with numbers to nine digits, which is what all machines agree on.
fn rounded(document: &str) -> String {
    fn round(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(number) if number.is_f64() => {
                let near: f64 = format!("{:.8e}", number.as_f64().unwrap()).parse().unwrap();
                *value = near.into();
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(round),
            serde_json::Value::Object(all) => all.values_mut().for_each(round),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(document).expect("one document and nothing else");
    round(&mut value);
    format!("{value:#}\n")
}

fn pool(load: &str, timeout: &str) -> String {
    format!(
        r#"{{{load},"stations":[{{"name":"app.cpu","demand_s":0.002,"servers":4}},{{"name":"db","demand_s":0.02,"servers":"delay"}}],
            "pools":[{{"name":"mongodb.pool","slots":10,"guards":["db"],"timeout_s":{timeout}}}]}}"#
    )
}

#[test]
fn a_closed_model_on_a_page() {
    insta::assert_snapshot!(told(&pool(r#""users":[1,400,1000],"think_s":1.01"#, "null"), &[]));
}

#[test]
fn a_closed_model_as_a_document() {
    insta::assert_snapshot!(rounded(&told(&pool(r#""users":400,"think_s":1.01"#, "null"), &["--json"])));
}

#[test]
fn an_open_model_with_a_timeout_on_a_page() {
    insta::assert_snapshot!(told(&pool(r#""open":{"rate_per_s":490}"#, "0.1"), &[]));
}

#[test]
fn an_unstable_model_on_a_page_and_as_a_document() {
    let model = pool(r#""open":{"rate_per_s":700}"#, "null");
    insta::assert_snapshot!(format!("{}\n{}", told(&model, &[]), rounded(&told(&model, &["--json"]))));
}

#[test]
fn a_simulation_on_a_page_and_as_a_document() {
    let model = pool(r#""users":600,"think_s":1"#, "0.05");
    let page = told(&model, &["--simulate", "20k", "--seed", "3"]);
    let document = told(&model, &["--simulate", "20k", "--seed", "3", "--json"]);
    insta::assert_snapshot!(format!("{page}\n{}", rounded(&document)));
}

#[test]
fn lines_retries_and_classes_on_a_page() {
    let retries = r#"{"open":{"rate_per_s":400},"stations":[{"name":"db","demand_s":0.02,"servers":"delay"}],
        "pools":[{"name":"mongodb.pool","slots":10,"guards":["db"],"timeout_s":0.1,"queue_max":100,"retry_ratio":3}]}"#;
    insta::assert_snapshot!(format!("{}\n{}", told(retries, &[]), told(CLASSES, &[])));
}

const CLASSES: &str = r#"{"classes":[{"name":"browse","users":90,"think_s":1},{"name":"buy","users":10,"think_s":2,"demands_s":{"db":0.02}}],
    "stations":[{"name":"cpu","demand_s":0.005},{"name":"db","demand_s":0.008}]}"#;

/// One number of users in a list is a list of one answer, so that a script need not look.
#[test]
fn a_list_is_answered_by_a_list() {
    let model = |users: &str| format!(r#"{{"users":{users},"stations":[{{"name":"a","demand_s":0.1}}]}}"#);
    let document = |users: &str| -> serde_json::Value {
        serde_json::from_str(&told(&model(users), &["--json"])).expect("one document")
    };
    assert!(document("5").is_object());
    assert_eq!(document("[5]").as_array().map(Vec::len), Some(1));
    assert_eq!(document("[5]")[0], document("5"));
    // What a list says of a number of users is what it says alone, simulated or not.
    let simulated = |users: &str| -> serde_json::Value {
        serde_json::from_str(&told(&model(users), &["--simulate", "2000", "--json"])).expect("one document")
    };
    assert_eq!(simulated("[2,5]")[1], simulated("5"));
}

#[test]
fn refusals_name_the_file_the_place_and_what_would_be_right() {
    let refused = |model: &str, options: &[&str]| {
        let (code, out, err) = called(model, options);
        assert_eq!((code, out.as_str()), (exit::USAGE, ""));
        err
    };
    let two_faults = r#"{"users":0,"stations":[{"name":"a","demand_s":0.1}],"pools":[{"name":"p","slots":1,"guards":["b"]}]}"#;
    let closed_timeout = pool(r#""users":400,"think_s":1"#, "0.1");
    let steady = r#"{"users":9,"think_s":1,"stations":[{"name":"a","demand_s":0.1,"service":"constant"}],
        "pools":[{"name":"p","slots":1,"guards":["a"],"timeout_s":1}]}"#;
    let classes =
        r#"{"classes":[{"name":"x","users":3,"think_s":1}],"stations":[{"name":"a","demand_s":0.1}]}"#;
    let inner_timeout = r#"{"open":{"rate_per_s":1},"stations":[{"name":"a","demand_s":0.1}],
        "pools":[{"name":"p","slots":2,"guards":["a"]},{"name":"q","slots":1,"guards":["a"],"timeout_s":1}]}"#;
    insta::assert_snapshot!(
        [
            refused("{", &[]),
            refused(two_faults, &[]),
            refused(two_faults, &["--json"]),
            refused(steady, &[]),
            refused(classes, &["--simulate"]),
            refused(inner_timeout, &[]),
            refused(&closed_timeout, &["--simulate", "10"]),
        ]
        .join("\n")
    );
    let (code, _, err) = called("{}", &["--seed", "5"]);
    assert!(code == exit::USAGE && err.contains("--simulate"), "{err}");
}

/// The published shapes are those of the code that reads and writes.
#[test]
fn documents_fit_their_schemas() {
    let model_schema = serde_json::to_value(schemars::schema_for!(crate::queueing::model::Model)).unwrap();
    let answers_schema = serde_json::to_value(schemars::schema_for!(Answers)).unwrap();
    let models = jsonschema::validator_for(&model_schema).unwrap();
    let answers = jsonschema::validator_for(&answers_schema).unwrap();
    for (text, options) in [
        (pool(r#""users":[1,400],"think_s":1.01"#, "null"), &["--json"][..]),
        (pool(r#""users":7"#, "0.1"), &["--json", "--simulate", "1000"]),
        (pool(r#""open":{"rate_per_s":490}"#, "0.1"), &["--json"]),
        (pool(r#""open":{"rate_per_s":700}"#, "null"), &["--json"]),
        (pool(r#""open":{"rate_per_s":490}"#, r#"0.1,"queue_max":5,"retry_ratio":3"#), &["--json"]),
        (CLASSES.to_owned(), &["--json"]),
    ] {
        let model: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(models.is_valid(&model), "{text}");
        let document: serde_json::Value = serde_json::from_str(&told(&text, options)).unwrap();
        assert!(answers.is_valid(&document), "{document}");
    }
    for broken in [
        r#"{"stations":[],"usres":1}"#,
        r#"{"users":1,"stations":[{"name":"a","demand_s":1,"servers":"dealy"}]}"#,
    ] {
        assert!(!models.is_valid(&serde_json::from_str(broken).unwrap()), "{broken}");
    }
    assert!(!answers.is_valid(&serde_json::json!({"users": 1})));
}
