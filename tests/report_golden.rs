//! Every format rendered from fixed records and compared with what it was: text, Markdown and JUnit whole, the page without the
//! paths of its charts. After a wanted change: `INSTA_UPDATE=always cargo test --test report_golden`, and read the difference.

mod goldens;

use plimsoll::analyze::demand::ServiceDemands;
use plimsoll::analyze::usl::Scaling;
use plimsoll::preflight::{Examination, Explanation};
use plimsoll::queueing::answer::Answers;
use plimsoll::queueing::model::Model;
use plimsoll::record::summary::Summary;
use plimsoll::report::text::Text;
use plimsoll::report::{FORMATS, Format, by_name};
use plimsoll::run::Trace;
use std::collections::HashSet;
use std::path::Path;

fn render(format: &dyn Format, record: &goldens::Record) -> String {
    String::from_utf8(format.render(&record.report()).expect("any record can be rendered")).expect("UTF-8")
}

fn snapshot(name: &str, content: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("goldens/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, content));
}

#[test]
fn text_of_every_record() {
    let format = Text { color: false, report_path: Some("reports/x/report.html".into()) };
    for (name, record) in goldens::all() {
        snapshot(&format!("{name}.text"), &render(&format, &record));
    }
}

#[test]
fn markdown_of_every_record() {
    for (name, record) in goldens::all() {
        snapshot(&format!("{name}.md"), &render(&*by_name("md").expect("known"), &record));
    }
}

#[test]
fn junit_of_every_record() {
    for (name, record) in goldens::all() {
        let xml = render(&*by_name("junit").expect("known"), &record);
        let read = quick_junit::Report::deserialize_from_str(&xml).expect("well-formed");
        assert_eq!(read.test_suites.len(), 1, "{name}");
        snapshot(&format!("{name}.junit"), &xml);
    }
}

#[test]
fn csv_of_a_search_and_of_a_run() {
    for (name, record) in [("find", goldens::find::found()), ("run_hostile", goldens::run::hostile())] {
        let text = render(&*by_name("csv").expect("known"), &record);
        let rows = csv::Reader::from_reader(text.as_bytes()).records().collect::<Result<Vec<_>, _>>();
        let expected =
            record.summary.levels.len() + record.summary.ladder.len() + record.summary.endpoints.len();
        assert_eq!(rows.expect("as many columns in each row").len(), expected, "{name}");
    }
}

/// Nothing a scenario or a target wrote may act on the reader's screen, and no format may print what is not a number.
#[test]
fn no_format_prints_nan_or_control_characters() {
    for (name, record) in goldens::all() {
        for (format, _) in FORMATS {
            let out = render(&*by_name(format).expect("known"), &record);
            if format != "json" {
                assert!(!out.contains("NaN") && !out.contains("inf "), "{name}.{format}");
            }
            if format != "csv" {
                let bad = out.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
                assert_eq!(bad, None, "{name}.{format}");
            }
        }
    }
}

/// A broken reading, a division by no time, a clock that jumped: whatever the numbers are, there is a report.
#[test]
fn any_number_can_be_rendered() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e-300, 1e300] {
        for mut record in [goldens::find_otherwise::confirmed(), goldens::run::mixed()] {
            goldens::make_odd(&mut record, odd);
            for (format, _) in FORMATS {
                let out = render(&*by_name(format).expect("known"), &record);
                assert!(!out.contains("NaN"), "{odd} in {format}");
            }
        }
    }
}

#[test]
fn color_changes_nothing_but_color() {
    for (name, record) in goldens::all() {
        let plain = render(&Text::default(), &record);
        let colored = render(&Text { color: true, report_path: None }, &record);
        assert!(colored.contains("\u{1b}[") && !plain.contains('\u{1b}'), "{name}");
        let mut bare = String::new();
        let mut rest = colored.as_str();
        while let Some(at) = rest.find('\u{1b}') {
            bare.push_str(&rest[..at]);
            rest = rest[at..].split_once('m').expect("every sequence ends").1;
        }
        bare.push_str(rest);
        assert_eq!(bare, plain, "{name}");
    }
}

/// The page without its style and the drawings in its charts, a tag a line.
fn outline(html: &str) -> String {
    let bare = without(&without(html, "<style>", "</style>"), "</desc>", "</svg>");
    bare.replace("><", ">\n<")
}

/// What stands between each `open` and the next `close` is cut out.
fn without(text: &str, open: &str, close: &str) -> String {
    let mut pieces = text.split(open);
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        kept.push_str(open);
        kept.push_str(&piece[piece.find(close).expect("closed")..]);
    }
    kept
}

#[test]
fn page_of_a_search_and_of_a_run() {
    for (name, record) in [
        ("find", goldens::find::found()),
        ("find_confirmed", goldens::find_otherwise::confirmed()),
        ("run", goldens::run::mixed()),
    ] {
        snapshot(&format!("{name}.html"), &outline(&render(&*by_name("html").expect("known"), &record)));
    }
}

/// Well-formed, offline, labeled: what must hold of the page whatever the record.
#[test]
fn page_is_sound_for_every_record() {
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
    for (name, record) in goldens::all() {
        let html = render(&*by_name("html").expect("known"), &record);
        let (mut open, mut ids) = (Vec::new(), HashSet::new());
        let style_end = html.find("</style>").expect("a style");
        let body = format!("{}{}", &html[..html.find("<style>").expect("a style") + 7], &html[style_end..]);
        for tag in body.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("{name}: '<' in text: {tag}"));
            let element = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
            assert!(!matches!(element, "script" | "link" | "img" | "iframe" | "object"), "{name}: <{tag}>");
            for banned in [" href=", " src=", " onclick=", " style="] {
                assert!(!tag.contains(banned), "{name}: <{tag}>");
            }
            if let Some(id) = tag.split(" id=\"").nth(1) {
                assert!(ids.insert(id.split('"').next().expect("quoted")), "{name}: id twice: {tag}");
            }
            if element == "th" && !tag.starts_with('/') {
                assert!(tag.contains("scope="), "{name}: <{tag}>");
            }
            assert_eq!(tag.matches(" class=").count().max(1), 1, "{name}: <{tag}>");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(element), "{name}: </{element}>");
            } else if !tag.ends_with('/') && !VOID.contains(&element) {
                open.push(element);
            }
        }
        assert!(open.is_empty(), "{name}: left open: {open:?}");
        assert_eq!(html.matches("<table>").count(), html.matches("<caption>").count(), "{name}");
        assert_eq!(html.matches("role=\"img\"").count(), html.matches("<desc ").count(), "{name}");
        for drawn in ["#FE01", "<svg width="] {
            assert!(!html.contains(drawn), "{name}: {drawn} is left of the raw drawing");
        }
    }
}

#[test]
fn page_of_a_search_draws_its_charts_and_a_plain_run_only_what_applies() {
    let charts = |record: &goldens::Record| {
        render(&*by_name("html").expect("known"), record).matches("role=\"img\"").count()
    };
    // Throughput, response, the search, one curve, use, waiting, timeline.
    assert_eq!(charts(&goldens::find::found()), 7);
    assert_eq!(charts(&goldens::find_otherwise::uninstrumented()), 5);
    // A curve for each of six endpoints, and the timeline.
    assert_eq!(charts(&goldens::run::mixed()), 7);
    assert_eq!(charts(&goldens::nothing()), 0);
}

/// WCAG AA: text 4.5, marks and lines 3, against both grounds in both schemes.
#[test]
fn colors_have_contrast() {
    let style = include_str!("../src/report/html/style.css");
    for scheme in style.split(":root {").skip(1) {
        let scheme = scheme.split('}').next().expect("closed");
        let luminance = |name: &str| {
            let at =
                scheme.find(&format!("--{name}: #")).unwrap_or_else(|| panic!("--{name}")) + name.len() + 5;
            let channel = |i: usize| {
                let byte = u8::from_str_radix(&scheme[at + 2 * i..at + 2 * i + 2], 16).expect("hexadecimal");
                let c = f64::from(byte) / 255.0;
                if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
        };
        let text = ["ink", "muted", "good", "bad", "unsure", "accent"].map(|name| (name, 4.5));
        let lines = ["service", "ideal", "c0", "c1", "c2", "c3", "c4", "c5"].map(|name| (name, 3.0));
        for (name, least) in text.into_iter().chain(lines) {
            for ground in ["page", "card"] {
                let (a, b) = (luminance(name), luminance(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(
                    contrast >= least || (name, ground) == ("ideal", "page"),
                    "--{name} on --{ground}: {contrast:.2}"
                );
            }
        }
    }
}

/// The checked-in schema is what the code says. After a wanted change (the changelog must say so):
/// `UPDATE_SCHEMA=1 cargo test --test report_golden schema`.
#[test]
fn schema_is_up_to_date() {
    for (name, schema) in [
        ("summary", schemars::schema_for!(Summary)),
        ("explain", schemars::schema_for!(Explanation)),
        ("doctor", schemars::schema_for!(Examination)),
        ("trace", schemars::schema_for!(Trace)),
        ("model", schemars::schema_for!(Model)),
        ("solve", schemars::schema_for!(Answers)),
        ("fit_usl", schemars::schema_for!(Scaling)),
        ("fit_demand", schemars::schema_for!(ServiceDemands)),
    ] {
        let file = format!("docs/schemas/{name}.schema.json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        let mut now = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
        now.push('\n');
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &now).expect("docs/schemas can be written");
        }
        let kept = std::fs::read_to_string(&path).expect("the schema is checked in");
        assert!(kept == now, "{file} is stale: UPDATE_SCHEMA=1 cargo test --test report_golden schema");
    }
}

#[test]
fn schema_accepts_every_summary_and_refuses_a_broken_one() {
    let schema = serde_json::to_value(schemars::schema_for!(Summary)).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    for (name, record) in goldens::all() {
        let json = render(&*by_name("json").expect("known"), &record);
        let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let complaints: Vec<String> =
            validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(complaints, Vec::<String>::new(), "{name}");
        let back: Summary = serde_json::from_value(document.clone()).expect("reads back");
        assert_eq!(back, record.summary, "{name}");
        let mut broken = document;
        broken["verdict"] = "splendid".into();
        assert!(!validator.is_valid(&broken), "{name}");
    }
}
