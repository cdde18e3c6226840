//! Every format rendered from fixed records and compared with what it was: text, Markdown and JUnit whole, the page without the
//! paths of its charts. After a wanted change: `INSTA_UPDATE=always cargo test --test report_golden`, and read the difference.

mod goldens;

use plimsoll::report::text::Text;
use plimsoll::report::{FORMATS, Format, by_name};

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
        let expected = record.summary.levels.len() + record.summary.endpoints.len();
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
