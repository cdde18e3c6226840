//! Any page as a scrape: it is refused by the number of a line, or what it tells can be asked for and held against itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::probe::preset;
use plimsoll::probe::prometheus::{Growth, Scrape};
use plimsoll::promql::Selector;

fuzz_target!(|text: &str| {
    let Ok(scrape) = Scrape::parse(text) else { return };
    for name in scrape.names() {
        let grown = scrape.grown(&scrape, &Selector::new(name, &[]));
        assert!(!matches!(grown, Growth::By(grown) if grown > 0.0), "{name} has grown since itself");
    }
    preset::discover("auto", &scrape).expect("a preset");
    let _ = Scrape::default().after(&scrape);
});
