//! What is wrong before anything runs: then there is no folder, and nothing was started.

use super::e2e::invocation::plimsoll;
use super::e2e::scratch;

#[test]
fn a_scenario_that_does_not_parse() {
    let dir = scratch();
    let folder = dir.path().join("run");
    for command in ["run", "find", "check"] {
        let call = plimsoll([command, "tests/e2e/scenarios/broken.yaml"]);
        let done = if command == "check" { call } else { call.out(&folder) }.run().exits(2);
        for words in ["broken.yaml:7:", "not YAML", "─", "expect: {status: [200", "help:"] {
            done.says(words);
        }
        assert_eq!(done.out, "", "a complaint is no result");
        assert!(!folder.exists(), "nothing ran, so there is no record");
    }
}

#[test]
fn an_unknown_key_and_the_one_that_was_meant() {
    let dir = scratch();
    let shop = std::fs::read_to_string("scenarios/smoke.yaml").unwrap().replace("thresholds:", "tresholds:");
    let (scenario, folder) = (dir.path().join("misspelled.yaml"), dir.path().join("run"));
    std::fs::write(&scenario, &shop).unwrap();
    let line = shop.lines().position(|line| line == "tresholds:").unwrap() + 1;
    let done = plimsoll(["run"]).arg(&scenario).out(&folder).run().exits(2);
    done.says(&format!("misspelled.yaml:{line}:1]"));
    done.says("`tresholds`");
    done.says("did you mean `thresholds`?");
    assert!(!folder.exists());
}

#[test]
fn a_scenario_that_is_not_there() {
    let done = plimsoll(["run", "scenarios/no-such.yaml"]).out(&scratch().path().join("run")).run().exits(2);
    done.says("scenarios/no-such.yaml");
}

#[test]
fn an_override_of_a_key_or_dial_that_is_not_there() {
    let dir = scratch();
    let run = || plimsoll(["run", "scenarios/smoke.yaml"]).out(dir.path());
    run().set("load.0.executr", "open").run().exits(2).says("executr");
    let done = run().dial("mongodb.max_pol_size", 20).run();
    assert_ne!(done.code, Some(0));
    done.says("mongodb.max_pol_size");
    done.says("mongodb.max_pool_size");
}

/// A file where the folder should be: that fails for root as well.
#[test]
fn a_folder_that_cannot_be_written() {
    let dir = scratch();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let done = plimsoll(["run", "scenarios/smoke.yaml"]).out(&file.join("run")).run().exits(9);
    done.says(&file.join("run").display().to_string());
    done.says("--out");
}
