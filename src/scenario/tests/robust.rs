//! No text makes the reader panic, and what templates render is what their place asks for.

use super::{Overrides, env, files, load_with};
use proptest::prelude::{any, prop, prop_assert, proptest};

const VALID: [&str; 3] = [
    include_str!("../../../scenarios/shop.yaml"),
    include_str!("../../../scenarios/steady-open.yaml"),
    include_str!("bad/variables.yaml"),
];

fn read(text: &str) {
    let result = load_with("t.yaml", text, &Overrides::none(&env), &files);
    let problems = match result {
        Ok(plan) => plan.warnings,
        Err(problems) => problems,
    };
    // Rendering walks every span, so a span outside the text would show here.
    let _ = (problems.render(false, 100), problems.lines(), problems.json());
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 200, ..Default::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), yamlish in "[a-z:{}\\[\\]\"'$ \n&*|>#-]{0,80}") {
        read(&text);
        read(&yamlish);
    }

    #[test]
    fn mutated_scenarios_never_panic(
        which in 0..VALID.len(),
        at in any::<prop::sample::Index>(),
        length in 0usize..40,
        insert in "[ -~\n\tä]{0,6}",
    ) {
        let text = VALID[which];
        let mut start = at.index(text.len());
        while !text.is_char_boundary(start) { start -= 1; }
        let mut end = (start + length).min(text.len());
        while !text.is_char_boundary(end) { end += 1; }
        read(&format!("{}{insert}{}", &text[..start], &text[end..]));
    }

    #[test]
    fn every_failure_has_a_reason(text in "[a-z]{1,8}: [a-z0-9]{0,8}\n") {
        let result = load_with("t.yaml", &text, &Overrides::none(&env), &files);
        prop_assert!(result.is_err_and(|problems| problems.has_errors()));
    }
}
