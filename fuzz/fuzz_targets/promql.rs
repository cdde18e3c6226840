//! Any text as a query: it is refused, or has a value or none over some series, and never more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::promql::{Labels, Point, Query, Selector, Series, plain_rule};

/// Series of every kind, whatever is asked for.
struct Any;

impl Series for Any {
    fn now_s(&self) -> f64 {
        60.0
    }

    fn instant(&self, _: &Selector) -> Vec<(Labels, f64)> {
        let of = |le: &str, value: f64| ([("le".to_owned(), le.to_owned())].into(), value);
        vec![of("0.5", 1.0), of("+Inf", 2.0), of("x", f64::NAN)]
    }

    fn range(&self, _: &Selector, window_s: f64) -> Vec<(Labels, Vec<Point>)> {
        let point = |t_s: f64, value: f64| Point { t_s, value };
        vec![
            (Labels::new(), vec![point(60.0 - window_s / 2.0, 5.0), point(60.0, 3.0)]),
            ([("le".to_owned(), "+Inf".to_owned())].into(), vec![point(60.0, 1.0)]),
        ]
    }
}

fuzz_target!(|text: &str| {
    if let Ok(query) = Query::of_scrapes(text) {
        let _ = query.value(&Any);
        Query::of_server(text).expect("what scrapes answer, a server does");
        let _ = plain_rule(text, "x");
    } else if let Err(refusal) = Query::of_server(text) {
        assert!(refusal.offset <= text.len(), "a place in the text");
    }
});
