//! Networks so small that all their states can be listed: no convolution, no logarithms, no recursion to be wrong in the same way.

use super::{answer, queues};

/// A station or a pool around one: rates with 1, 2, … jobs.
type Rate = Box<dyn Fn(usize) -> f64>;

/// Throughput and mean jobs at each, from all ways to place `users` jobs on the stations, the first of which stands for thinking.
fn listed(rates: &[Rate], users: usize) -> (f64, Vec<f64>) {
    fn place(
        rates: &[Rate],
        left: usize,
        weight: f64,
        placed: &mut Vec<usize>,
        seen: &mut dyn FnMut(&[usize], f64),
    ) {
        let Some((rate, rest)) = rates.split_first() else {
            if left == 0 {
                seen(placed, weight);
            }
            return;
        };
        let mut weight = weight;
        for n in 0..=left {
            if n > 0 {
                weight /= rate(n);
            }
            placed.push(n);
            place(rest, left - n, weight, placed, seen);
            placed.pop();
        }
    }
    let (mut sum, mut flow, mut jobs) = (0.0, 0.0, vec![0.0; rates.len()]);
    place(rates, users, 1.0, &mut Vec::new(), &mut |placed, weight| {
        sum += weight;
        flow += weight * if placed[0] > 0 { rates[0](placed[0]) } else { 0.0 };
        placed.iter().zip(&mut jobs).for_each(|(n, jobs)| *jobs += weight * *n as f64);
    });
    (flow / sum, jobs.into_iter().map(|jobs| jobs / sum).collect())
}

#[test]
fn every_state_of_a_small_network() {
    let text = |users: usize| {
        format!(
            r#"{{"users":{users},"think_s":0.5,"stations":[
                {{"name":"cpu","demand_s":0.1,"servers":2}},{{"name":"disk","demand_s":0.08}},
                {{"name":"db","demand_s":0.3,"servers":"delay"}},{{"name":"cache","demand_s":0.2,"servers":3}}],
               "pools":[{{"name":"p","slots":3,"guards":["db"]}},{{"name":"q","slots":2,"guards":["cache"]}}]}}"#
        )
    };
    for users in [1, 2, 5, 9] {
        let servers = |demand: f64, count: usize| -> Rate { Box::new(move |n| n.min(count) as f64 / demand) };
        let rates =
            [servers(0.5, users), servers(0.1, 2), servers(0.08, 1), servers(0.3, 3), servers(0.2, 2)];
        let (throughput, jobs) = listed(&rates, users);
        let solved = answer(&text(users));
        assert!((solved.throughput_per_s.unwrap() - throughput).abs() < 1e-10 * throughput);
        let found = queues(&solved);
        let pools = &solved.pools;
        assert!((found[0] - jobs[1]).abs() < 1e-10, "{found:?} {jobs:?}");
        assert!((found[1] - jobs[2]).abs() < 1e-10);
        let there = |index: usize| pools[index].busy.unwrap() + pools[index].waiting.unwrap();
        assert!((there(0) - jobs[3]).abs() < 1e-10, "{pools:?} {jobs:?}");
        assert!((there(1) - jobs[4]).abs() < 1e-10);
        assert!((found[2] - pools[0].busy.unwrap()).abs() < 1e-10);
        assert!((found[3] - pools[1].busy.unwrap()).abs() < 1e-10);
    }
}
