//! Several classes of users at once, approximately: Schweitzer's fixed point, in which an arriving request sees the queues of its own class
//! as they are, less its own share. Single servers and delays only. Within a few percent where queues are long; with one user a
//! class it can be off by more than ten.
//!
//! Symbols: N_c users, Z_c think time, s, of class c; D_cs demand of class c at station s, s; Q_cs jobs of class c there.
//! R_cs = D_cs (1 + Σ_{j≠c} Q_js + (N_c − 1)/N_c · Q_cs); X_c = N_c/(Z_c + Σ_s R_cs); Q_cs = X_c R_cs.
//!
//! Source: Schweitzer, "Approximate analysis of multiclass closed networks of queues", Int. Conf. on Stochastic Control and
//! Optimization, Amsterdam 1979; Bard, Performance '79.

/// The change of the largest queue below which the fixed point is found, as a share of all users.
const STILL_RATIO: f64 = 1e-10;
/// Hundreds suffice; only a fixed point that is approached ever more slowly takes more.
const ROUNDS_MAX: usize = 100_000;

/// One class of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub users: f64,
    pub think_s: f64,
    /// D at each station, s.
    pub demands_s: Vec<f64>,
}

/// What the fixed point says of a class. Approximate.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassAnswer {
    pub throughput_per_s: f64,
    pub response_s: f64,
    /// Q at each station.
    pub queues: Vec<f64>,
}

/// The classes sharing stations with one server each; at a station of `delays` nobody waits. `None` if the classes do not have as many
/// demands as there are stations, if a class never asks for anything and does not think, or if no fixed point is reached.
pub fn approximate(classes: &[Class], delays: &[bool]) -> Option<Vec<ClassAnswer>> {
    let sound = |class: &Class| {
        class.demands_s.len() == delays.len()
            && class.users >= 0.0
            && class.think_s + class.demands_s.iter().sum::<f64>() > 0.0
    };
    if !classes.iter().all(sound) {
        return None;
    }
    let everybody: f64 = classes.iter().map(|class| class.users).sum();
    let stations = delays.len().max(1) as f64;
    let evenly = |class: &Class| ClassAnswer {
        throughput_per_s: 0.0,
        response_s: 0.0,
        queues: vec![class.users / stations; delays.len()],
    };
    let mut answers: Vec<ClassAnswer> = classes.iter().map(evenly).collect();
    for _ in 0..ROUNDS_MAX {
        let totals: Vec<f64> =
            (0..delays.len()).map(|s| answers.iter().map(|answer| answer.queues[s]).sum()).collect();
        let mut moved = 0.0f64;
        for (class, answer) in classes.iter().zip(&mut answers) {
            let residence: Vec<f64> = (0..delays.len())
                .map(|s| {
                    let seen =
                        if delays[s] { 0.0 } else { totals[s] - answer.queues[s] / class.users.max(1.0) };
                    class.demands_s[s] * (1.0 + seen)
                })
                .collect();
            answer.response_s = residence.iter().sum();
            answer.throughput_per_s = class.users / (class.think_s + answer.response_s);
            for (queue, residence_s) in answer.queues.iter_mut().zip(residence) {
                let next = answer.throughput_per_s * residence_s;
                moved = moved.max((next - *queue).abs());
                *queue = next;
            }
        }
        if moved <= STILL_RATIO * everybody {
            return Some(answers);
        }
    }
    None
}

#[cfg(test)]
mod tests;
