//! Networks of textbooks, most by way of the tests of the Octave package `queueing` (Marzolla 2010), which quotes them with their pages. Demands are visits
//! times service time.

use super::{Example, Row};
use plimsoll::queueing::answer::Answer;
use plimsoll::queueing::{model::read::read, solve};

fn answers(text: &str) -> Vec<Answer> {
    let network = read(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    solve(&network).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn answer(text: &str) -> Answer {
    answers(text).remove(0)
}

fn queues(answer: &Answer) -> Vec<f64> {
    answer.stations.iter().map(|station| station.queue.expect("stable")).collect()
}

fn utilizations(answer: &Answer) -> Vec<f64> {
    answer.stations.iter().map(|station| station.utilization.unwrap_or(f64::NAN)).collect()
}

fn throughput(answer: &Answer) -> f64 {
    answer.throughput_per_s.expect("stable")
}

/// Time of a visit at each station, s.
fn visits_s(answer: &Answer, visits: &[f64]) -> Vec<f64> {
    queues(answer).iter().zip(visits).map(|(queue, visits)| queue / throughput(answer) / visits).collect()
}

fn station(name: &str, demand_s: f64, servers: &str) -> String {
    format!(r#"{{"name":"{name}","demand_s":{demand_s},"servers":{servers}}}"#)
}

/// Stations of one server each, named by their position.
fn single_servers(demands_s: &[f64]) -> String {
    let all =
        demands_s.iter().enumerate().map(|(index, demand_s)| station(&index.to_string(), *demand_s, "1"));
    all.collect::<Vec<_>>().join(",")
}

pub(super) fn rows() -> Vec<Row> {
    [
        jain_interactive(),
        bolch_mixed(),
        bolch_single(),
        bolch_several(),
        hsieh_and_lam(),
        lazowska_open(),
        jain_file_server(),
        bolch_open(),
        eth(),
        octave_classes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// 16 visits of 0.125 s, 10 of 0.3 s, 5 of 0.2 s, 20 terminals that think 4 s. Octave prints the example's number as 3.42.
fn jain_interactive() -> Vec<Row> {
    let example = Example { name: "interactive system", source: "Jain 1991, chapter 34, p. 577" };
    let stations = single_servers(&[16.0 * 0.125, 10.0 * 0.3, 5.0 * 0.2]);
    let solved = answer(&format!(r#"{{"users":20,"think_s":4,"stations":[{stations}]}}"#));
    let mut rows = example.rows("jobs at station", &["1.991", "16.177", "0.500"], &queues(&solved));
    let times = visits_s(&solved, &[16.0, 10.0, 5.0]);
    rows.extend(example.rows("seconds of a visit at station", &["0.373", "4.854", "0.300"], &times));
    rows
}

/// Two servers, two single servers, a delay, three jobs and nobody who thinks.
fn bolch_mixed() -> Vec<Row> {
    let example = Example { name: "mixed stations", source: "Bolch et al. 2006, example 8.4, p. 333" };
    let stations = [
        station("a", 0.5, "2"),
        station("b", 0.5 * 0.6, "1"),
        station("c", 0.5 * 0.8, "1"),
        station("d", 1.0, "\"delay\""),
    ];
    let solved = answer(&format!(r#"{{"users":3,"stations":[{}]}}"#, stations.join(",")));
    let mut rows = example.rows("jobs at station", &["0.624", "0.473", "0.686", "1.217"], &queues(&solved));
    rows.push(example.row("throughput", "1.218", throughput(&solved)));
    rows
}

/// Four single servers, six jobs.
fn bolch_single() -> Vec<Row> {
    let example = Example { name: "single servers", source: "Bolch et al. 2006, example 8.3, p. 331" };
    let stations = single_servers(&[0.02, 0.4 * 0.2, 0.2 * 0.4, 0.1 * 0.6]);
    let solved = answer(&format!(r#"{{"users":6,"stations":[{stations}]}}"#));
    let mut rows =
        example.rows("utilization of station", &["0.198", "0.794", "0.794", "0.595"], &utilizations(&solved));
    rows.extend(example.rows("jobs at station", &["0.244", "2.261", "2.261", "1.234"], &queues(&solved)));
    rows.push(example.row("throughput", "9.920", throughput(&solved)));
    rows
}

/// Stations of two, three and one servers.
fn bolch_several() -> Vec<Row> {
    let example = Example { name: "several servers", source: "Bolch et al. 2006, example 8.1, p. 318" };
    let stations =
        [station("a", 1.0 / 0.8, "2"), station("b", 0.667 / 0.6, "3"), station("c", 0.2 / 0.4, "1")];
    let solved = answer(&format!(r#"{{"users":3,"stations":[{}]}}"#, stations.join(",")));
    let mut rows = example.rows("jobs at station", &["1.290", "1.050", "0.660"], &queues(&solved));
    rows.extend(example.rows("utilization of station", &["0.590", "0.350", "0.473"], &utilizations(&solved)));
    rows.push(example.row("throughput", "0.945", throughput(&solved)));
    rows
}

/// At two jobs their bounds meet; for more the throughput lies between them, which is asserted and no row.
fn hsieh_and_lam() -> Vec<Row> {
    let example = Example { name: "throughput bounds", source: "Hsieh and Lam 1987, table IV" };
    let stations = single_servers(&[0.1, 0.1, 0.09, 0.08]);
    let solved = answers(&format!(r#"{{"users":[2,5,10,20,80],"stations":[{stations}]}}"#));
    let bounds = [(4.3174, 4.3174), (6.6600, 6.7297), (8.0219, 8.2700), (8.8672, 9.3387), (9.6736, 10.0)];
    for (answer, (low, high)) in solved.iter().zip(bounds) {
        let value = throughput(answer);
        assert!(low - 5e-5 <= value && value <= high + 5e-5, "{low} {value} {high}");
    }
    vec![example.row("throughput of two jobs", "4.3174", throughput(&solved[0]))]
}

/// 121 visits to the CPU, 70 and 50 to disks.
fn lazowska_open() -> Vec<Row> {
    let example = Example { name: "open system", source: "Lazowska et al. 1984, p. 113" };
    let stations = single_servers(&[121.0 * 0.005, 70.0 * 0.03, 50.0 * 0.027]);
    let solved = answer(&format!(r#"{{"open":{{"rate_per_s":0.3}},"stations":[{stations}]}}"#));
    vec![
        example.row("utilization of the CPU", "0.182", utilizations(&solved)[0]),
        example.row("jobs at the CPU", "0.222", queues(&solved)[0]),
    ]
}

fn jain_file_server() -> Vec<Row> {
    let example = Example { name: "file server", source: "Jain 1991, example 34.1, p. 572" };
    let stations = single_servers(&[0.16, 0.14, 0.24]);
    let solved = answer(&format!(r#"{{"open":{{"rate_per_s":3}},"stations":[{stations}]}}"#));
    let mut rows = example.rows("utilization of station", &["0.48", "0.42", "0.72"], &utilizations(&solved));
    let times = visits_s(&solved, &[16.0, 7.0, 8.0]);
    rows.extend(example.rows("seconds of a visit at station", &["0.0192", "0.0345", "0.107"], &times));
    rows
}

/// Flows of 20, 10, 10 and 4 a second for 4 arrivals a second.
fn bolch_open() -> Vec<Row> {
    let example = Example { name: "open network", source: "Bolch et al. 2006, example 7.4, p. 287" };
    let stations = single_servers(&[5.0 * 0.04, 2.5 * 0.03, 2.5 * 0.06, 0.05]);
    let solved = answer(&format!(r#"{{"open":{{"rate_per_s":4}},"stations":[{stations}]}}"#));
    let mut rows = example.rows("jobs at station", &["4.0", "0.429", "1.5", "0.25"], &queues(&solved));
    rows.extend(example.rows(
        "utilization of station",
        &["0.8", "0.3", "0.6", "0.2"],
        &utilizations(&solved),
    ));
    rows
}

/// A station with several servers, and a pool of as many slots around a delay, are the same thing: 9 arrivals a second of 0.2 s.
fn eth() -> Vec<Row> {
    let mut rows = Vec::new();
    for (servers, name, waiting, response) in [(2, "M/M/2", "7.674", "1.053"), (4, "M/M/4", "0.105", "0.212")]
    {
        let example = Example { name, source: "Advanced Systems Lab 2017, ETH Zurich" };
        let one = station("a", 0.2, &servers.to_string());
        let solved = answer(&format!(r#"{{"open":{{"rate_per_s":9}},"stations":[{one}]}}"#));
        rows.push(example.row("waiting at a station", waiting, queues(&solved)[0] - 1.8));
        rows.push(example.row("response time at a station, s", response, solved.response_s.expect("stable")));
        let held = station("a", 0.2, "\"delay\"");
        let pool = format!(r#"{{"name":"p","slots":{servers},"guards":["a"]}}"#);
        let pooled =
            answer(&format!(r#"{{"open":{{"rate_per_s":9}},"stations":[{held}],"pools":[{pool}]}}"#));
        rows.push(example.row("waiting for a pool", waiting, pooled.pools[0].waiting.expect("stable")));
        rows.push(example.row("response time of a pool, s", response, pooled.response_s.expect("stable")));
    }
    rows
}

/// Two classes of one user each at two stations, by Schweitzer's approximation.
fn octave_classes() -> Vec<Row> {
    let example = Example { name: "two classes (approximate)", source: "Octave `queueing`, qncmmvabs.m" };
    let solved = answer(
        r#"{"classes":[{"name":"x","users":1,"demands_s":{"a":1,"b":3}},{"name":"y","users":1,"demands_s":{"a":2}}],
            "stations":[{"name":"a","demand_s":1},{"name":"b","demand_s":4}]}"#,
    );
    let classes = solved.classes.expect("classes");
    let published = [("0.154", ["0.192", "0.808"]), ("0.104", ["0.248", "0.752"])];
    let mut rows = Vec::new();
    for (class, (throughput, queues)) in classes.iter().zip(published) {
        rows.push(example.row(format!("throughput of {}", class.name), throughput, class.throughput_per_s));
        rows.extend(example.rows(&format!("jobs of {} at station", class.name), &queues, &class.queues));
    }
    rows
}
