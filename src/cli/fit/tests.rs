//! The commands as they are typed, on tables and records made here.

use crate::cli::{Process, main};
use std::path::{Path, PathBuf};

/// Exit code, standard output and standard error of one command line.
fn typed(words: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut process = Process {
        args: std::iter::once("plimsoll").chain(words.iter().copied()).map(Into::into).collect(),
        env: &|_| None,
        out: &mut out,
        err: &mut err,
        color: false,
        terminal: false,
        executable: PathBuf::from("plimsoll"),
    };
    let code = main(&mut process);
    (code, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
}

/// The command on a table, with the table's folder taken out of what is said.
fn usl(table: &str, words: &[&str]) -> (u8, String, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("loads.csv");
    std::fs::write(&path, table).expect("a table");
    let path = path.to_str().expect("a path");
    let (code, out, err) = typed(&[&["fit", "usl", path], words].concat());
    (code, out, err.replace(path, "loads.csv"))
}

const SPECSDM91: &str = "n,x\n1,64.9\n18,995.9\n36,1652.4\n72,1853.2\n108,1828.9\n144,1775.0\n216,1702.2\n";
const RAYTRACER: &str =
    "n,x\n1,20\n4,78\n8,130\n12,170\n16,190\n20,200\n24,210\n28,230\n32,260\n48,280\n64,310\n";
const POOL: &str = "n,x\n50,48.5\n100,97\n200,194\n300,291\n400,388\n500,485\n600,500\n800,499\n1000,501\n";

#[test]
fn a_peak() {
    let (code, out, err) = usl(SPECSDM91, &["--throughput", "1800"]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!(out);
}

#[test]
fn columns_by_other_names() {
    let table = SPECSDM91.replace("n,x", "users,requests per s");
    let (code, out, _) = usl(&table, &["--columns", "users,requests per s", "--throughput", "1800"]);
    assert_eq!((code, out), (0, usl(SPECSDM91, &["--throughput", "1800"]).1));
    for wrong in ["users", "a,a", "a,,b"] {
        assert_eq!(usl(&table, &["--columns", wrong]).0, 2, "{wrong}");
    }
}

#[test]
fn no_peak() {
    insta::assert_snapshot!(usl(RAYTRACER, &["--throughput", "400"]).1);
}

#[test]
fn too_few_loads_for_a_peak() {
    let few: Vec<&str> = RAYTRACER.lines().take(6).collect();
    insta::assert_snapshot!(usl(&few.join("\n"), &["--throughput", "300"]).1);
}

#[test]
fn a_hard_limit() {
    insta::assert_snapshot!(usl(POOL, &["--throughput", "250"]).1);
}

/// Figures to six digits: a compiler may order additions otherwise.
fn rounded(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            let short = format!("{:.5e}", number.as_f64().expect("a float"));
            *value = serde_json::json!(short.parse::<f64>().expect("a float"));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(rounded),
        serde_json::Value::Object(items) => items.values_mut().for_each(rounded),
        _ => {}
    }
}

fn document(out: &str) -> String {
    let mut document: serde_json::Value = serde_json::from_str(out).expect("one JSON document");
    rounded(&mut document);
    serde_json::to_string_pretty(&document).expect("JSON")
}

/// Codes of the warnings, in their order.
fn warned(table: &str) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_str(&usl(table, &["--json"]).1).expect("a document");
    let warnings = document["warnings"].as_array().expect("a list");
    warnings.iter().map(|warning| warning["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn what_the_points_do_not_say_is_warned_of() {
    let cisco = include_str!("../../../tests/published/cisco.csv");
    assert_eq!(warned(cisco), ["peak_beyond_loads", "law_does_not_fit"]);
    assert_eq!(warned("n,x\n1,10\n2,22\n4,48\n8,110\n12,172\n16,250\n"), ["law_does_not_fit"]);
    assert_eq!(warned(POOL), ["hard_limit"]);
    // It falls at the last load: something else than a limit is the matter.
    let falls = POOL.replace("1000,501", "1000,430");
    assert!(!warned(&falls).contains(&"hard_limit".to_owned()), "{falls}");
    assert_eq!(warned(SPECSDM91), [""; 0]);
}

#[test]
fn documents() {
    insta::assert_snapshot!("usl_peak_json", document(&usl(SPECSDM91, &["--json"]).1));
    insta::assert_snapshot!("usl_hard_limit_json", document(&usl(POOL, &["--json"]).1));
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_its_line() {
    let cases = [
        "n,x\n1,64.9\n18,fast\n0,3\n\n36\n",
        "load,tput\n1,64.9\n",
        "",
        "n,x\n1,10\n2,18\n4,30\n",
        "n,x\n1,0\n2,0\n4,0\n8,0\n",
    ];
    let said = cases.map(|table| {
        let (code, out, err) = usl(table, &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{table}");
        err
    });
    insta::assert_snapshot!(said.join("\n"));
    let (code, _, err) = typed(&["fit", "usl", "no/such.csv"]);
    assert!(code == 2 && err.starts_with("plimsoll: cannot read no/such.csv: "), "{err}");
    assert_eq!(usl(SPECSDM91, &["--throughput", "-3"]).0, 2);
}

/// Writes the folder of a run with a pool held 20 ms a request and a CPU, six levels of 20 s.
fn run(dir: &Path) {
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("a file");
    let mut manifest = crate::record::rows::Manifest {
        scenario: "made-up".into(),
        finished: true,
        seed: 7,
        duration_s: 120.0,
        endpoints: vec![crate::record::rows::EndpointEntry {
            name: "product".into(),
            protocol: "http".into(),
            route: "GET /".into(),
            key: None,
        }],
        ..Default::default()
    };
    manifest.progress.generator.valid = true;
    write("record.json", serde_json::to_string(&manifest).expect("JSON"));
    let mut timeline = "t_s,endpoint,users,offered,sent,completed,failed,dropped,p50,p90,p99,p99_9,max,service_p50,service_p99,service_max,bytes_received,bytes_sent\n".to_owned();
    let mut saturation =
        "t_s,resource,kind,used,limit,waiting,utilization,errors,visits,wait_s,hold_s\n".to_owned();
    for second in 1..=120_u32 {
        let load = f64::from(80 * ((second - 1) / 20 + 1));
        // A wobble whose sum over a window differs from window to window.
        let off = f64::from(second * second % 7) - 3.0;
        timeline.push_str(&format!("{second},product,0,0,0,{load},0,0,0,0,0,0,0,0,0,0,0,0\n"));
        let held = load * 0.020 * (1.0 + off / 500.0);
        saturation.push_str(&format!("{second},mongodb.pool,pool,{held},10,0,,0,{load},0,{held}\n"));
        saturation
            .push_str(&format!("{second},app.cpu,cpu,{},2,,,,,,\n", 0.05 + load * 0.0003 + off / 1000.0));
        saturation.push_str(&format!("{second},app.heap,memory,5e8,2e9,,,,,,\n"));
    }
    write("timeline.csv", timeline);
    write("saturation.csv", saturation);
    write("histograms.hlog", String::new());
    write("events.ndjson", String::new());
}

#[test]
fn the_demands_of_a_run() {
    let dir = tempfile::tempdir().expect("a folder");
    run(dir.path());
    let path = dir.path().to_str().expect("a path");
    let (code, out, err) = typed(&["fit", "demand", path]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("demand_text", out);
    assert_eq!(typed(&["fit", "demand", path]).1, out, "the same record says the same again");
    insta::assert_snapshot!("demand_json", document(&typed(&["fit", "demand", path, "--json"]).1));
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, _, err) = typed(&["fit", "demand", dir.path().to_str().expect("a path")]);
    assert!(code == 2 && err.contains("record.json"), "{err}");
}
