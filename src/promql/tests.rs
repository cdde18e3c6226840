//! Queries over series written down here, against values that Prometheus' own rules of arithmetic give.

use super::{Labels, Point, Query, Selector, Series, plain_rule};

/// Series by name and labels, each with its points; the newest are of now.
struct Kept {
    now_s: f64,
    series: Vec<(String, Labels, Vec<Point>)>,
}

impl Kept {
    /// Lines `name label=value … : t v, t v`.
    fn of(now_s: f64, text: &str) -> Self {
        let line = |line: &str| {
            let (head, points) = line.split_once(" : ").expect("a line");
            let mut words = head.split_whitespace();
            let name = words.next().expect("a name").to_owned();
            let labels = words.map(|word| word.split_once('=').expect("a label"));
            let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
            let point = |pair: &str| {
                let (t_s, value) = pair.trim().split_once(' ').expect("a point");
                Point { t_s: t_s.parse().expect("a time"), value: value.parse().expect("a value") }
            };
            (name, labels, points.split(',').map(point).collect())
        };
        Self { now_s, series: text.lines().map(str::trim).filter(|l| !l.is_empty()).map(line).collect() }
    }

    fn value(&self, query: &str) -> Result<Option<f64>, String> {
        let query = Query::of_scrapes(query).map_err(|refusal| refusal.message)?;
        query.value(self).map_err(|error| error.to_string())
    }
}

impl Series for Kept {
    fn now_s(&self) -> f64 {
        self.now_s
    }

    fn instant(&self, selector: &Selector) -> Vec<(Labels, f64)> {
        let mine = self.series.iter().filter(|(name, labels, _)| selector.matches(name, labels));
        mine.filter_map(|(_, labels, points)| Some((labels.clone(), points.last()?.value))).collect()
    }

    fn range(&self, selector: &Selector, window_s: f64) -> Vec<(Labels, Vec<Point>)> {
        let mine = self.series.iter().filter(|(name, labels, _)| selector.matches(name, labels));
        let within = |point: &&Point| point.t_s > self.now_s - window_s && point.t_s <= self.now_s;
        mine.map(|(_, labels, points)| (labels.clone(), points.iter().filter(within).copied().collect()))
            .collect()
    }
}

fn shop() -> Kept {
    Kept::of(
        60.0,
        "
        requests_total route=/a/{id} status=200 : 0 0, 15 150, 30 300, 45 450, 60 600
        requests_total route=/a/{id} status=503 : 0 0, 15 0, 30 30, 45 60, 60 90
        requests_total route=/b status=200 : 0 1000, 15 1015, 30 1030, 45 1045, 60 1060
        up node=0 : 60 1
        up node=1 : 60 0
        free node=0 : 60 20
        free node=1 : 60 90
        total node=0 : 60 100
        total node=1 : 60 100
        ",
    )
}

#[test]
fn selectors_aggregations_and_arithmetic() {
    let shop = shop();
    let cases = [
        ("up{node=\"1\"}", Some(0.0)),
        ("sum(up)", Some(1.0)),
        ("count(up{node=~\"0|1\"})", Some(2.0)),
        ("count(up{node!~\"0|1\"})", None),
        ("avg(up) + 2 ^ 3 * 2 - -1", Some(17.5)),
        ("7 % 4", Some(3.0)),
        ("max((total - free) / total)", Some(0.8)),
        ("min((total - free) / total)", Some(0.1)),
        ("(total - free) / total > 0.7", Some(0.8)),
        ("count((total - free) / total > bool 0.7)", Some(2.0)),
        ("sum((total - free) / total > bool 0.7)", Some(1.0)),
        ("sum by (node) (free{node=\"0\"}) / on (node) total", Some(0.2)),
        ("sum(free) / sum(total)", Some(0.55)),
        ("sum without (node) (free)", Some(110.0)),
        ("sum(nothing)", None),
        ("sum(nothing) or vector(0)", Some(0.0)),
        ("(sum(nothing) or vector(0)) / sum(total)", Some(0.0)),
        ("sum(up) or vector(7)", Some(1.0)),
        ("count(up or on (node) free)", Some(2.0)),
        ("1 > bool 2", Some(0.0)),
        ("0 / 0", None),
        ("1 / 0", Some(f64::INFINITY)),
        // What filters has the labels that it was matched by, and so no partner any more.
        ("free{node=\"1\"} > on () sum(up)", Some(90.0)),
        ("(free{node=\"1\"} > on () sum(up)) / total{node=\"1\"}", None),
        // Several of one side that have no partner are no question.
        ("requests_total / on (route) requests_total{route=\"/b\"}", Some(1.0)),
    ];
    for (query, wanted) in cases {
        let value = shop.value(query).expect(query);
        let near = match (value, wanted) {
            (Some(value), Some(wanted)) => value == wanted || (value - wanted).abs() < 1e-9,
            (value, wanted) => value == wanted,
        };
        assert!(near, "{query}: {value:?}, not {wanted:?}");
    }
    assert!(shop.value("free").expect_err("two series").contains("2 series come out"));
    assert!(shop.value("free / on () total").expect_err("ambiguous").contains("same labels"));
}

#[test]
fn rates_are_carried_on_to_the_edges_and_never_below_zero() {
    let shop = shop();
    // Points at 15, 30, 45 and 60: the start of the span is one distance before the first, so it is reached.
    let cases = [
        ("sum(rate(requests_total{route=\"/b\"}[1m]))", 1.0),
        ("rate(requests_total{status=\"200\",route=\"/a/{id}\"}[1m])", 10.0),
        ("increase(requests_total{status=\"503\"}[1m])", 90.0),
        ("irate(requests_total{status=\"503\"}[1m])", 2.0),
        ("sum(rate(requests_total{status=~\"5..\"}[1m])) / sum(rate(requests_total[1m]))", 1.5 / 12.5),
    ];
    for (query, wanted) in cases {
        let value = shop.value(query).expect(query).expect("a value");
        assert!((value - wanted).abs() < 1e-9, "{query}: {value}, not {wanted}");
    }
    // A counter that fell began again at zero: 10, then 5 after a reset, is a growth of 15 from 0.
    let reset = Kept::of(30.0, "c_total : 10 0, 20 10, 30 5");
    assert_eq!(reset.value("increase(c_total[10s])"), Ok(None), "one point says nothing");
    let grown = reset.value("increase(c_total[30s])").expect("evaluates").expect("a value");
    assert!((grown - 15.0).abs() < 1e-9, "zero ten seconds before, so nothing is added in front: {grown}");
}

#[test]
fn a_quantile_lies_on_a_line_inside_its_bucket() {
    let kept = Kept::of(
        30.0,
        "
        d_bucket le=0.1 : 0 0, 15 50, 30 100
        d_bucket le=0.5 : 0 0, 15 90, 30 180
        d_bucket le=+Inf : 0 0, 15 100, 30 200
        ",
    );
    let value = |query: &str| kept.value(query).expect(query).expect("a value");
    assert!((value("histogram_quantile(0.5, d_bucket)") - 0.1).abs() < 1e-9);
    assert!((value("histogram_quantile(0.7, d_bucket)") - 0.3).abs() < 1e-9);
    assert!((value("histogram_quantile(0.25, sum by (le) (rate(d_bucket[31s])))") - 0.05).abs() < 1e-9);
    assert_eq!(value("histogram_quantile(0.99, d_bucket)"), 0.5, "beyond the last bound nothing is known");
    let empty = Kept::of(1.0, "d_bucket le=0.1 : 1 0\nd_bucket le=+Inf : 1 0");
    assert_eq!(empty.value("histogram_quantile(0.5, d_bucket)"), Ok(None));
}

#[test]
fn what_is_outside_the_subset_is_refused_with_its_place() {
    let all: Vec<String> = [
        "topk(3, requests_total)",
        "max_over_time(up[5m])",
        "up offset 5m",
        "rate(up[2h])",
        "rate(up[5m:30s])",
        "up and requests_total",
        "a * on (node) group_left b",
        "{node=\"0\"}",
        "up[5m]",
        "predict_linear(up[5m], 60)",
        "sum(",
        "rate(up)",
        "requests{topk=\"topk\"} + topk(1, up)",
        "\"words\"",
        "",
    ]
    .into_iter()
    .map(|text| {
        let refusal = Query::of_scrapes(text).expect_err(text);
        let (before, marks) = (" ".repeat(refusal.offset), "^".repeat(refusal.len));
        format!("{text}\n{before}{marks} {}", refusal.message)
    })
    .collect();
    insta::assert_snapshot!(all.join("\n\n"));
    let deep = format!("{}1{}", "(".repeat(300), ")".repeat(300));
    assert!(Query::of_scrapes(&deep).is_err(), "a bound on what nests");
    assert!(
        Query::of_server("topk(3, rate(a{b=\"c\"}[5m] offset 1h))")
            .is_ok_and(|query| { query.named() == ["a{b=\"c\"}"] && query.value(&shop()).is_err() })
    );
}

#[test]
fn a_rule_that_is_silent_when_all_is_well_is_rewritten_for_its_writer() {
    let refusal = plain_rule("avg(rate(x_sum[5m])) > 0.5", "slow").expect_err("it filters");
    assert_eq!((refusal.offset, refusal.len), (21, 1));
    assert!(refusal.help.contains("\"value(slow) > 0.5 for 1m\""), "{}", refusal.help);
    assert!(refusal.help.contains("\"value(slow) <= 0.5\""), "{}", refusal.help);
    for fine in ["x > bool 0.5", "sum(x > 3)", "x"] {
        assert_eq!(plain_rule(fine, "slow"), Ok(()), "{fine}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(
        text in ".{0,40}",
        near in "(sum|rate|topk|a|\\(|\\)|\\[1m\\]|\\{b=\"c\"\\}| |\\+|-|/|>|1|by|or|bool|vector|histogram_quantile|,|\"|offset 5m|@|~){0,20}",
    ) {
        for text in [&text, &near] {
            let refused = |refusal: super::Refusal| assert!(refusal.offset <= text.len(), "{text}");
            let _ = Query::of_scrapes(text).map(|query| query.value(&shop())).map_err(refused);
            let _ = Query::of_server(text).map_err(refused);
            let _ = plain_rule(text, "x").map_err(refused);
        }
    }
}
