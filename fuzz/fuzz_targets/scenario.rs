//! Any text is a scenario or a list of problems, each with a place that can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::scenario::{Overrides, load};

fuzz_target!(|text: &str| {
    let env = |_: &str| None;
    // A scenario that names files would read them; that is not what is tried here.
    if text.contains("include") || text.contains("file") {
        return;
    }
    let problems = match load("fuzz.yaml", text, &Overrides::none(&env)) {
        Ok(plan) => plan.warnings,
        Err(problems) => {
            assert!(problems.has_errors());
            problems
        }
    };
    let _ = (problems.render(false, 100), problems.lines(), problems.json());
});
