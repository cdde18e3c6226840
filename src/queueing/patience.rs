//! A pool whose waiters give up after a fixed time, as a driver's wait-queue timeout makes them: M/M/c+D. Exponentials of an overload
//! are kept as logarithms, so that ten thousand slots and long timeouts overflow nothing.
//!
//! Symbols: c slots; λ arrivals per second; ν completions per second with all slots in use (c/H); τ timeout, s; θ = λ − ν.
//! J1 = ∫₀^τ e^(θt) dt; J2 = e^(θτ)/ν; π the share of the time with c−1 slots in use, for which with B, Erlang's B for c−1,
//! π = B/(1 + Bλ(J1 + J2)).
//!
//! Source: Gnedenko and Kovalenko, "Introduction to Queueing Theory", 1968 (M/M/c+D); the form here as in Baccelli and Hebuterne,
//! "On queues with impatient customers", Performance '81.

use super::erlang::erlang_b;

/// A pool with a timeout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impatient {
    /// Share of arrivals that do not find a free slot; also the share of the time with all slots in use.
    pub p_wait: f64,
    /// Share of arrivals that give up.
    pub p_timeout: f64,
    /// 1 − `p_timeout`, without the loss of digits of that difference.
    pub p_served: f64,
    /// Mean wait over all arrivals, s; τ for who gives up.
    pub wait_s: f64,
    /// The part of it that those waited who got a slot.
    pub served_wait_s: f64,
}

/// M/M/c+D with a mean hold of `hold_s`.
pub fn timed_pool(slots: usize, rate_per_s: f64, hold_s: f64, timeout_s: f64) -> Impatient {
    let blocked = erlang_b(slots - 1, rate_per_s * hold_s);
    impatient(blocked, rate_per_s, slots as f64 / hold_s, timeout_s)
}

/// The same for a pool whose rate of completions depends on how many slots are in use: `last_ratio` is the share of c−1 among the states
/// without a wait (Erlang's B for c−1 where it does not depend), `full_per_s` the rate with all in use.
pub fn impatient(last_ratio: f64, rate_per_s: f64, full_per_s: f64, timeout_s: f64) -> Impatient {
    let u = (rate_per_s - full_per_s) * timeout_s;
    // e^max(u, 0) is taken out of J1, J2 and the ramp, since it is in all of them and can be larger than any number.
    let growth = u.max(0.0);
    let ln_j1 = timeout_s.ln() + ln_mean_growth(u);
    let ln_j2 = u - growth - full_per_s.ln();
    let ln_both = ln_sum(ln_j1, ln_j2);
    let p_wait = 1.0 / (1.0 + (-(last_ratio * rate_per_s).ln() - ln_both - growth).exp());
    let p_timeout = p_wait * (ln_j2 - ln_both).exp();
    let served_wait_s = p_wait * (2.0 * timeout_s.ln() + ln_ramp(u) - ln_both).exp();
    Impatient {
        p_wait,
        p_timeout,
        p_served: 1.0 - p_wait + p_wait * (ln_j1 - ln_both).exp(),
        wait_s: served_wait_s + timeout_s * p_timeout,
        served_wait_s,
    }
}

/// Requests per second that give up while 1, 2, … `waiting_max` of them wait: a(j) = ν·P(j − 1)/P(≥ j) for a Poisson distribution of mean ντ,
/// whatever the rate of arrivals, which may depend on how many are there (Movaghar, Queueing Systems 29, 1998, for a fixed timeout). With j in line
/// the rate is about (j − ντ)/τ where that is much, and next to nothing for j far below ντ, which the pool serves in time.
pub fn leaving_per_s(full_per_s: f64, timeout_s: f64, waiting_max: usize) -> Vec<f64> {
    let mean = full_per_s * timeout_s;
    // Past this many standard deviations a probability is rounding.
    let wide = 12.0 * mean.sqrt() + 50.0;
    if mean > waiting_max as f64 + wide {
        return vec![0.0; waiting_max];
    }
    let mut leaving_per_s = vec![0.0; waiting_max];
    // P(≥ j)/P(j) = 1 + mean/(j + 1)·P(≥ j + 1)/P(j + 1), from far out, where it is known.
    let far = waiting_max.max((mean + wide) as usize) + 1;
    let mut ratio = 1.0 / (1.0 - mean / (far as f64 + 1.0));
    for j in (1..far).rev() {
        ratio = 1.0 + mean / (j as f64 + 1.0) * ratio;
        if j <= waiting_max {
            leaving_per_s[j - 1] = j as f64 / (timeout_s * ratio);
        }
    }
    leaving_per_s
}

/// ln(e^a + e^b).
fn ln_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}

/// ln((e^u − 1)/u) − max(u, 0), of the integral of e^(us) over s from 0 to 1.
fn ln_mean_growth(u: f64) -> f64 {
    if u.abs() < 1e-9 {
        return u / 2.0 - u.max(0.0);
    }
    // (1 − e^−|u|)/|u|, whichever sign u has.
    (-(-u.abs()).exp_m1() / u.abs()).ln()
}

/// ln((e^u(u − 1) + 1)/u²) − max(u, 0), of the integral of s·e^(us): near 0 by its series, since the difference would cancel.
fn ln_ramp(u: f64) -> f64 {
    if u.abs() < 1e-2 {
        let series = 0.5 + u / 3.0 + u * u / 8.0 + u.powi(3) / 30.0 + u.powi(4) / 144.0;
        return series.ln() - u.max(0.0);
    }
    let ramp = if u > 0.0 { u - 1.0 + (-u).exp() } else { u.exp() * (u - 1.0) + 1.0 };
    ramp.ln() - 2.0 * u.abs().ln()
}

#[cfg(test)]
mod tests;
