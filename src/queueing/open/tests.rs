//! What is lost at a bounded line, by two ways.

use super::*;
use crate::queueing::model::read::read;

/// Of exponential and of steadier holds, with and without a timeout, a line of any length, from hardly any load to a hundred times too much.
#[test]
fn what_is_lost_is_the_same_with_and_without_all_states() {
    for (service, timeout, slots, queue_max) in [
        ("exponential", "null", 10, 0),
        ("exponential", "null", 10, 1),
        ("exponential", "null", 50, 400),
        ("exponential", "0.1", 10, 30),
        ("exponential", "0.05", 300, 2000),
        ("constant", "null", 3, 20),
        ("constant", "0.02", 3, 1),
    ] {
        let text = format!(
            r#"{{"open":{{"rate_per_s":1}},"stations":[{{"name":"db","demand_s":0.02,"servers":"delay","service":"{service}"}}],
                "pools":[{{"name":"p","slots":{slots},"guards":["db"],"timeout_s":{timeout},"queue_max":{queue_max}}}]}}"#
        );
        let network = read(&text).expect("a network");
        let passage = Passage::new(&network, &network.root.pools[0]);
        for part in [0.01, 0.5, 0.9, 0.99, 1.0, 1.001, 1.1, 2.0, 100.0] {
            let rate_per_s = part * passage.full_per_s();
            let (passed, lost) = (passage.pass(rate_per_s), passage.p_lost(rate_per_s));
            let all = passed.p_timeout + passed.p_rejected;
            assert!((lost - all).abs() < 1e-12, "{text} at {part}: {lost} for {all}");
        }
    }
}
