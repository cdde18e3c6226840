//! Any table of loads is points that can be fitted, or lines that say what was expected in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::fit::{table, usl};

fuzz_target!(|text: &[u8]| {
    match table::points(text, table::Columns::default()) {
        Ok(points) => {
            // More of them cost time and are fitted no differently.
            let points = &points[..points.len().min(50)];
            if let Ok(fitted) = usl::fit(points) {
                assert!((0.0..=1.0).contains(&fitted.alpha.value) && fitted.gamma.value >= 0.0);
                let _ = usl::shape(points, &fitted);
            }
        }
        Err(flaws) => assert!(!flaws.is_empty() && flaws.iter().all(|flaw| flaw.line > 0)),
    }
});
