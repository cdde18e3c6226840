//! Worked examples of textbooks, by way of the tests of the Octave package `queueing` (Marzolla 2010), which quotes them with their pages.
//! Demands are visits times service time.

use super::{answer, answers, printed, queues, single_servers, station, utilizations};

/// Jain 1991, chapter 34, p. 577 (Octave prints the example's number as 3.42): 16 visits of 0.125 s, 10 of 0.3 s, 5 of 0.2 s, 20
/// terminals that think 4 s.
#[test]
fn jain_s_interactive_system() {
    let stations = single_servers(&[16.0 * 0.125, 10.0 * 0.3, 5.0 * 0.2]);
    let solved = answer(&format!(r#"{{"users":20,"think_s":4,"stations":[{stations}]}}"#));
    printed(&queues(&solved), &[1.991, 16.177, 0.500], 1e-3);
    let throughput = solved.throughput_per_s.unwrap();
    let residence: Vec<f64> = queues(&solved)
        .iter()
        .zip([16.0, 10.0, 5.0])
        .map(|(queue, visits)| queue / throughput / visits)
        .collect();
    printed(&residence, &[0.373, 4.854, 0.300], 1e-3);
}

/// Bolch et al. 2006, example 8.4, p. 333: two servers, two single servers, a delay, three jobs and nobody who thinks.
#[test]
fn bolch_s_mixed_stations() {
    let stations = [
        station("a", 0.5, "2"),
        station("b", 0.5 * 0.6, "1"),
        station("c", 0.5 * 0.8, "1"),
        station("d", 1.0, "\"delay\""),
    ];
    let solved = answer(&format!(r#"{{"users":3,"stations":[{}]}}"#, stations.join(",")));
    printed(&queues(&solved), &[0.624, 0.473, 0.686, 1.217], 1e-3);
    printed(&[solved.throughput_per_s.unwrap()], &[1.218], 1e-3);
}

/// Bolch et al., example 8.3, p. 331: four single servers, six jobs.
#[test]
fn bolch_s_single_servers() {
    let stations = single_servers(&[0.02, 0.4 * 0.2, 0.2 * 0.4, 0.1 * 0.6]);
    let solved = answer(&format!(r#"{{"users":6,"stations":[{stations}]}}"#));
    printed(&utilizations(&solved), &[0.198, 0.794, 0.794, 0.595], 1e-3);
    printed(&queues(&solved), &[0.244, 2.261, 2.261, 1.234], 1e-3);
    printed(&[solved.throughput_per_s.unwrap()], &[9.920], 1e-3);
}

/// Bolch et al., example 8.1, p. 318: stations of two, three and one servers.
#[test]
fn bolch_s_several_servers() {
    let stations =
        [station("a", 1.0 / 0.8, "2"), station("b", 0.667 / 0.6, "3"), station("c", 0.2 / 0.4, "1")];
    let solved = answer(&format!(r#"{{"users":3,"stations":[{}]}}"#, stations.join(",")));
    printed(&queues(&solved), &[1.290, 1.050, 0.660], 1e-3);
    printed(&utilizations(&solved), &[0.590, 0.350, 0.473], 1e-3);
    printed(&[solved.throughput_per_s.unwrap()], &[0.945], 1e-3);
}

/// Hsieh and Lam, Performance Evaluation 7, 1987, table IV: at two jobs their bounds meet, and at 80 the upper one is the ceiling.
#[test]
fn hsieh_and_lam_s_bounds() {
    let stations = single_servers(&[0.1, 0.1, 0.09, 0.08]);
    let solved = answers(&format!(r#"{{"users":[2,5,10,20,80],"stations":[{stations}]}}"#));
    let throughput: Vec<f64> = solved.iter().map(|answer| answer.throughput_per_s.unwrap()).collect();
    printed(&throughput[..1], &[4.3174], 1e-4);
    let bounds = [(4.3174, 4.3174), (6.6600, 6.7297), (8.0219, 8.2700), (8.8672, 9.3387), (9.6736, 10.0)];
    for (value, (low, high)) in throughput.iter().zip(bounds) {
        assert!(low - 5e-5 <= *value && *value <= high + 5e-5, "{low} {value} {high}");
    }
}

/// Lazowska et al. 1984, p. 113: an open system with 121 visits to the CPU, 70 and 50 to disks.
#[test]
fn lazowska_s_open_system() {
    let stations = single_servers(&[121.0 * 0.005, 70.0 * 0.03, 50.0 * 0.027]);
    let solved = answer(&format!(r#"{{"open":{{"rate_per_s":0.3}},"stations":[{stations}]}}"#));
    printed(&utilizations(&solved)[..1], &[0.182], 1e-3);
    printed(&queues(&solved)[..1], &[0.222], 1e-3);
}

/// Jain 1991, example 34.1, p. 572: a file server.
#[test]
fn jain_s_file_server() {
    let visits = [16.0, 7.0, 8.0];
    let stations = single_servers(&[0.16, 0.14, 0.24]);
    let solved = answer(&format!(r#"{{"open":{{"rate_per_s":3}},"stations":[{stations}]}}"#));
    printed(&utilizations(&solved), &[0.48, 0.42, 0.72], 1e-2);
    let times: Vec<f64> =
        queues(&solved).iter().zip(visits).map(|(queue, visits)| queue / 3.0 / visits).collect();
    printed(&times[..2], &[0.0192, 0.0345], 1e-4);
    printed(&times[2..], &[0.107], 1e-3);
}

/// Bolch et al., example 7.4, p. 287: flows of 20, 10, 10 and 4 a second for 4 arrivals a second.
#[test]
fn bolch_s_open_network() {
    let stations = single_servers(&[5.0 * 0.04, 2.5 * 0.03, 2.5 * 0.06, 0.05]);
    let solved = answer(&format!(r#"{{"open":{{"rate_per_s":4}},"stations":[{stations}]}}"#));
    printed(&queues(&solved), &[4.0, 0.429, 1.5, 0.25], 1e-3);
    printed(&utilizations(&solved), &[0.8, 0.3, 0.6, 0.2], 1e-2);
}

/// A station with several servers, and a pool of as many slots around a delay, are the same thing: M/M/2 and M/M/4 of a course at ETH
/// Zurich (Advanced Systems Lab 2017): 9 arrivals a second of 0.2 s.
#[test]
fn several_servers_and_a_pool_are_m_m_m() {
    for (servers, waiting, response) in [(2, 7.674, 1.053), (4, 0.105, 0.212)] {
        let one = station("a", 0.2, &servers.to_string());
        let solved = answer(&format!(r#"{{"open":{{"rate_per_s":9}},"stations":[{one}]}}"#));
        printed(&[queues(&solved)[0] - 1.8], &[waiting], 1e-3);
        printed(&[solved.response_s.unwrap()], &[response], 1e-3);
        let held = station("a", 0.2, "\"delay\"");
        let pool = format!(r#"{{"name":"p","slots":{servers},"guards":["a"]}}"#);
        let pooled =
            answer(&format!(r#"{{"open":{{"rate_per_s":9}},"stations":[{held}],"pools":[{pool}]}}"#));
        printed(&[pooled.pools[0].waiting.unwrap()], &[waiting], 1e-3);
        printed(&[pooled.response_s.unwrap()], &[response], 1e-3);
    }
}
