//! The operational laws and the bounds that follow from them. They hold for any system whatever its distributions, which makes them
//! both the integrity check of a measurement and the first estimate of a limit.
//!
//! Sources: Denning and Buzen, "The Operational Analysis of Queueing Network Models", Computing Surveys 10(3), 1978; Lazowska et al.,
//! "Quantitative System Performance", 1984, chapters 3 and 5; Jain, "The Art of Computer Systems Performance Analysis", 1991, chapters
//! 33 and 34.
//!
//! Symbols: N users; X completions per second; R mean response time, s, from the intended start; Z mean think time, s; V visits per
//! request; S service time per visit, s; D = V·S demand, s; m servers (cores, slots).

/// A resource as the bounds see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Center {
    /// D, seconds of service a request needs over all its visits.
    pub demand_s: f64,
    /// m ≥ 1.
    pub servers: f64,
}

impl Center {
    /// D/m: the least time between completions that this resource can give.
    fn interval_s(self) -> f64 {
        self.demand_s / self.servers
    }
}

/// Interactive response time law solved for R: N/X − Z, seconds.
pub fn interactive_response_s(users: f64, throughput_per_s: f64, think_s: f64) -> f64 {
    users / throughput_per_s - think_s
}

/// N/(X(R+Z)) − 1: 0 where the measurement is consistent. R must be the mean; a median or a p99 does not obey the law.
pub fn interactive_residual_ratio(users: f64, throughput_per_s: f64, response_s: f64, think_s: f64) -> f64 {
    users / (throughput_per_s * (response_s + think_s)) - 1.0
}

/// Little's law: mean number in a system that is passed at `throughput_per_s` in `time_s` each.
pub fn number_in_system(throughput_per_s: f64, time_s: f64) -> f64 {
    throughput_per_s * time_s
}

/// Utilization law: U = X·D/m, 0..1.
pub fn utilization_ratio(throughput_per_s: f64, center: Center) -> f64 {
    throughput_per_s * center.interval_s()
}

/// Service demand law: D = m·U/X, which is busy servers over throughput, seconds.
pub fn demand_s(busy: f64, throughput_per_s: f64) -> f64 {
    busy / throughput_per_s
}

/// Forced flow law: X_k = V_k·X, visits per second.
pub fn flow_per_s(throughput_per_s: f64, visits: f64) -> f64 {
    throughput_per_s * visits
}

/// Asymptotic bound: X ≤ min(min_k m_k/D_k, N/(Z + ΣD)).
pub fn throughput_bound_per_s(centers: &[Center], users: f64, think_s: f64) -> f64 {
    (1.0 / slowest_s(centers)).min(users / (think_s + total_s(centers)))
}

/// Asymptotic bound: R ≥ max(ΣD, N·max_k(D_k/m_k) − Z), seconds.
pub fn response_bound_s(centers: &[Center], users: f64, think_s: f64) -> f64 {
    total_s(centers).max(users * slowest_s(centers) - think_s)
}

/// N* = (Z + ΣD)/max_k(D_k/m_k): the number of users at which the slowest resource would be just busy if nobody ever waited.
pub fn saturation_users(centers: &[Center], think_s: f64) -> f64 {
    (think_s + total_s(centers)) / slowest_s(centers)
}

/// Balanced job bounds of Zahorjan et al. (Comm. ACM 25(2), 1982) on the throughput of a closed network of single servers with think time:
/// (low, high), per second. `demands_s` are the D of the centers.
pub fn balanced_bounds_per_s(demands_s: &[f64], users: f64, think_s: f64) -> (f64, f64) {
    let total: f64 = demands_s.iter().sum();
    let largest = demands_s.iter().copied().fold(0.0, f64::max);
    let average = total / demands_s.len() as f64;
    let low = users / (think_s + total + (users - 1.0) * largest / (1.0 + think_s / (users * total)));
    let high = users / (think_s + total + (users - 1.0) * average / (1.0 + think_s / total));
    (low, high.min(1.0 / largest))
}

fn total_s(centers: &[Center]) -> f64 {
    centers.iter().map(|center| center.demand_s).sum()
}

fn slowest_s(centers: &[Center]) -> f64 {
    centers.iter().map(|center| center.interval_s()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, published: f64, figures: f64) -> bool {
        (value - published).abs() <= figures / 2.0 + 1e-12
    }

    /// Denning and Buzen 1978, section "Job flow analysis": 25 terminals, think time 18 s, 20 disk requests a job of 25 ms, disk 50 % busy.
    #[test]
    fn denning_and_buzen_s_terminals() {
        let disk_per_s = 0.5 / 0.025;
        let jobs_per_s = disk_per_s / 20.0;
        assert!(near(jobs_per_s, 1.0, 0.01));
        assert!(near(interactive_response_s(25.0, jobs_per_s, 18.0), 7.0, 0.01));
    }

    /// Lazowska et al., chapter 3: a disk serving 40 requests/s of 22.5 ms each is 90 % busy; 4 requests at it spend 100 ms there; 64
    /// users with 30 s think time at 2 interactions/s see 2 s.
    #[test]
    fn lazowska_s_disk_and_users() {
        assert!(near(utilization_ratio(40.0, Center { demand_s: 0.0225, servers: 1.0 }), 0.9, 1e-9));
        assert!(near(number_in_system(40.0, 0.1), 4.0, 1e-9));
        assert!(near(interactive_response_s(64.0, 2.0, 30.0), 2.0, 1e-9));
        assert!(near(interactive_residual_ratio(64.0, 2.0, 2.0, 30.0), 0.0, 1e-9));
    }

    /// Jain, examples 33.2 to 33.7: 5 s of CPU, 80 visits of 50 ms to disk A and 100 of 30 ms to disk B, think time 18 s.
    #[test]
    fn jain_s_timesharing_system() {
        let demands = [5.0, 80.0 * 0.05, 100.0 * 0.03];
        let centers = demands.map(|demand_s| Center { demand_s, servers: 1.0 });
        // 17 terminals, disk A measured at 15.70 requests/s.
        let throughput = 15.70 / 80.0;
        assert!(near(throughput, 0.1963, 1e-4));
        assert!(near(flow_per_s(throughput, 100.0), 19.6, 0.1));
        for (center, published) in centers.iter().zip([0.98, 0.784, 0.588]) {
            assert!(near(utilization_ratio(throughput, *center), published, 0.003));
        }
        assert!(near(demand_s(0.785, throughput), 4.0, 0.01));
        assert!(near(interactive_response_s(17.0, throughput, 18.0), 68.6, 0.1));
        // Bounds: knee at 6 users; a response below 100 s needs 23.6 users at most.
        assert!(near(saturation_users(&centers, 18.0), 6.0, 1e-9));
        assert!(near(throughput_bound_per_s(&centers, 20.0, 18.0), 0.2, 1e-9));
        assert!(near(response_bound_s(&centers, 20.0, 18.0), 82.0, 1e-9));
        assert!(near(response_bound_s(&centers, 23.6, 18.0), 100.0, 1e-6));
        assert!(near(response_bound_s(&centers, 2.0, 18.0), 12.0, 1e-9));
    }

    /// The pool of the shipped scenario: 10 connections, 20 ms, 1 s of thinking.
    #[test]
    fn several_servers_divide_the_demand() {
        for (size, users) in [(10.0, 510.0), (7.0, 357.0), (20.0, 1020.0)] {
            let pool = Center { demand_s: 0.02, servers: size };
            assert!(near(saturation_users(&[pool], 1.0), users, 1e-6));
        }
    }

    /// Exact mean value analysis of single servers (Reiser and Lavenberg 1980), the throughput that the bounds must enclose.
    fn exact_per_s(demands_s: &[f64], users: u32, think_s: f64) -> f64 {
        let mut queues = vec![0.0; demands_s.len()];
        let mut throughput = 0.0;
        for n in 1..=users {
            let residence: Vec<f64> = demands_s.iter().zip(&queues).map(|(d, q)| d * (1.0 + q)).collect();
            throughput = f64::from(n) / (think_s + residence.iter().sum::<f64>());
            queues = residence.iter().map(|r| r * throughput).collect();
        }
        throughput
    }

    #[test]
    fn balanced_bounds_enclose_the_exact_solution() {
        for (demands, think_s) in
            [(vec![5.0, 4.0, 3.0], 18.0), (vec![0.1, 0.02], 0.0), (vec![0.3, 0.3, 0.3], 2.0)]
        {
            for users in [1, 2, 5, 6, 20, 100] {
                let (low, high) = balanced_bounds_per_s(&demands, f64::from(users), think_s);
                let exact = exact_per_s(&demands, users, think_s);
                assert!(
                    low <= exact * (1.0 + 1e-9) && exact <= high * (1.0 + 1e-9),
                    "{low} {exact} {high} at {users}"
                );
                if users == 1 || demands[0] == demands[demands.len() - 1] && think_s == 0.0 {
                    assert!((high - exact).abs() < 1e-9);
                }
            }
        }
    }
}
