//! What users hold and requests do not take: connections that stay open while their user thinks, memory of a session. It follows the number of users and not
//! the rate of requests, and a demand fitted to it would be bogus.

use super::classes::{VARIES_MIN, summed, varies};
use super::demand::{WINDOWS_MIN, Window};
use super::nnls::nnls;

/// By how much Akaike's criterion must prefer the users: past ten, the other model has essentially no support (Burnham and Anderson, Model Selection and
/// Multimodel Inference, 2002, section 2.6).
const AICC_APART: f64 = 10.0;
/// Part of the variance of what is used that users must explain.
const EXPLAINED_MIN: f64 = 0.9;
/// Under a constant number of users nothing varies that they could explain: what they hold then stays the same to this part.
const STILL_MAX: f64 = 1e-3;
/// Residuals below this part of what is used are rounding.
const ROUNDING: f64 = 1e-6;

/// busy = base + per_user·users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    pub per_user: f64,
    pub base: f64,
}

/// What a user holds, where the users explain what is in use; `None` where they do not, or hardly varied.
pub fn held(windows: &[Window]) -> Option<Held> {
    let users: Vec<f64> = windows.iter().map(|window| window.users).collect();
    let busy: Vec<f64> = windows.iter().map(|window| window.busy).collect();
    if windows.len() < WINDOWS_MIN || busy.iter().all(|busy| *busy <= 0.0) {
        return None;
    }
    if varies(&users) < VARIES_MIN {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let still = varies(&busy) < STILL_MAX && varies(&users) < STILL_MAX && mean(&users) > 0.0;
        return still.then(|| Held { per_user: mean(&busy) / mean(&users), base: 0.0 });
    }
    let ones = vec![1.0; windows.len()];
    let (found, squares) = least(&[users, ones.clone()], &busy);
    let (_, around_mean) = least(&[ones], &busy);
    let explains = found[0] > 0.0 && squares <= (1.0 - EXPLAINED_MIN) * around_mean;
    explains.then(|| Held { per_user: found[0], base: found[1] })
}

/// Whether the users explain what is in use better than the requests do, by far. Both rise together below the ceiling of a closed system, where only a
/// resource that is the one or the other to the last connection tells.
pub fn rather_held(windows: &[Window], held: &Held) -> bool {
    let rates: Vec<Vec<f64>> = windows.iter().map(|window| window.rates_per_s.clone()).collect();
    let classes: Vec<usize> = (0..rates.first().map_or(0, Vec::len)).collect();
    let busy: Vec<f64> = windows.iter().map(|window| window.busy).collect();
    let mut design = vec![summed(&rates, &classes)];
    if varies(&design[0]) >= VARIES_MIN {
        design.push(vec![1.0; windows.len()]);
    }
    // As many classes as leave windows over; the nearest fit of all of them is in favor of the requests.
    design.extend(classes.iter().take(windows.len() / 4).map(|&class| summed(&rates, &[class])));
    let (_, by_requests) = least(&design, &busy);
    let by_users: f64 =
        windows.iter().map(|window| (window.busy - held.base - held.per_user * window.users).powi(2)).sum();
    let n = windows.len() as f64;
    let rounding = n * (ROUNDING * busy.iter().copied().fold(0.0, f64::max)).powi(2);
    let aicc = |squares: f64, coefficients: usize| {
        let k = coefficients as f64 + 1.0;
        n * (squares.max(rounding) / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0).max(1.0)
    };
    // Both are held to two coefficients: more classes are more ways to look like users.
    aicc(by_users, 2) + AICC_APART < aicc(by_requests, 2)
}

/// Coefficients of at least 0, and the squares they leave.
fn least(design: &[Vec<f64>], right: &[f64]) -> (Vec<f64>, f64) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let gram: Vec<Vec<f64>> = design.iter().map(|a| design.iter().map(|b| dot(a, b)).collect()).collect();
    let found = nnls(&gram, &design.iter().map(|column| dot(column, right)).collect::<Vec<f64>>());
    let fitted =
        |row: usize| design.iter().zip(&found).map(|(column, value)| column[row] * value).sum::<f64>();
    let squares = right.iter().enumerate().map(|(row, right)| (right - fitted(row)).powi(2)).sum();
    (found, squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, stream};
    use rand_distr::{Distribution as _, StandardNormal};

    /// Six levels of eight windows of 5 s, users who think a second: rates vary as counts do, and from 500 users on they rise no more.
    fn windows(id: u64, busy: impl Fn(f64, f64, f64) -> f64) -> Vec<Window> {
        let mut random = stream(23, Purpose::Bootstrap, 0, id);
        let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
        [50.0, 100.0, 200.0, 300.0, 400.0, 450.0]
            .into_iter()
            .flat_map(|users| [users; 8])
            .map(|users: f64| {
                let mean = users / 1.03;
                let rate = mean + normal() * (mean / 5.0).sqrt();
                Window {
                    seconds: 5.0,
                    busy: busy(users, rate, normal()),
                    rates_per_s: vec![rate * 0.7, rate * 0.3],
                    users,
                }
            })
            .collect()
    }

    #[test]
    fn a_connection_a_user_is_held_and_a_pool_is_not() {
        for id in 0..100 {
            let open = windows(id, |users, _, _| users + 3.0);
            let found = held(&open).unwrap();
            assert!((found.per_user - 1.0).abs() < 1e-9 && (found.base - 3.0).abs() < 1e-6, "{found:?}");
            assert!(rather_held(&open, &found));
            let sessions = windows(id, |users, _, off| 2.0 * users + off);
            assert!(rather_held(&sessions, &held(&sessions).unwrap()));
            // 20 ms a request, with the noise of a mean over 5 s; and a CPU whose readings are off by a fiftieth.
            let pool = windows(id, |_, rate, off| 0.020 * rate + off * (0.02 * 0.02 * rate / 5.0).sqrt());
            assert!(!held(&pool).is_some_and(|found| rather_held(&pool, &found)));
            let cpu = windows(id, |_, rate, off| (0.1 + 0.001 * rate) * (1.0 + 0.02 * off));
            assert!(!held(&cpu).is_some_and(|found| rather_held(&cpu, &found)));
        }
    }

    #[test]
    fn under_a_constant_number_of_users_only_what_stays_the_same_is_held() {
        let constant = |busy: fn(f64) -> f64| -> Vec<Window> {
            let window = |k: u32| {
                let rate = 100.0 + f64::from(k % 5);
                Window { seconds: 5.0, busy: busy(rate), rates_per_s: vec![rate], users: 200.0 }
            };
            (0..12).map(window).collect()
        };
        let open = constant(|_| 200.0);
        let found = held(&open).unwrap();
        assert!(found == Held { per_user: 1.0, base: 0.0 } && rather_held(&open, &found));
        assert_eq!(held(&constant(|rate| 0.02 * rate)), None);
    }
}
