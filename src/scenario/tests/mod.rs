//! The language from end to end: files in, plans or problems out.

mod evaluate;
mod generator;
mod language;
mod robust;

use super::plan::{Plan, Step};
use super::{Overrides, Problems, load_with};
use std::path::Path;

fn env(name: &str) -> Option<String> {
    (name == "SHOP").then(|| "http://127.0.0.1:9".to_owned())
}

fn overrides() -> Overrides<'static> {
    Overrides::none(&env)
}

/// Files beside the scenario, for tests that include them.
fn files(path: &Path, _: u64) -> Result<Vec<u8>, String> {
    match path.to_str() {
        Some("dir/users.csv") => Ok(b"email,password\na@x.example, one\nb@x.example,\"two, 2\"\n".to_vec()),
        Some("dir/login.yaml") => {
            Ok(b"scenarios:\n  login:\n    steps:\n      - post: /login\n        extract: {token: $.token}\n"
                .to_vec())
        }
        Some("dir/loop.yaml") => Ok(b"include: loop.yaml\n".to_vec()),
        _ => Err("no such file".into()),
    }
}

fn plan_of(text: &str) -> Result<Plan, Problems> {
    load_with("dir/test.yaml", text, &overrides(), &files)
}

/// A plan whose one journey has these steps (written with six blanks before them).
fn journey(steps: &str) -> Result<Plan, Problems> {
    plan_of(&format!(
        "plimsoll: 1\ntarget: {{http: \"http://127.0.0.1:8080\"}}\nscenarios:\n  a:\n    steps:\n{steps}\nload:\n  - {{run: a, executor: closed, stages: [{{to: 1, over: 0s}}, {{hold: 1s}}]}}\n"
    ))
}

fn steps(text: &str) -> Vec<Step> {
    journey(text).expect("a valid journey").journeys.remove(0).steps
}
