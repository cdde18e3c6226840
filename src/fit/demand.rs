//! Service demands: what a request of each class takes of a resource, from how busy the resource was under which rates.
//!
//! In window w: busy(w) = b + Σ_c D_c·X_c(w), the utilization law with a background. busy in servers (cores, slots); b the use without any request;
//! D_c seconds of service a request of class c needs over all its visits; X_c requests per second.
//!
//! Sources: Denning and Buzen 1978 for the law; Lawson and Hanson 1974 for the estimate; Künsch, Annals of Statistics 17, 1989, for the bootstrap by
//! moving blocks, here of residuals, because loads are what the plan made them and no chance.

use super::classes::{Group, VARIES_MIN, groups, summed, varies};
use super::nnls::nnls;
use super::student::t_quantile;
use crate::seed::Stream;
use rand::RngExt as _;

/// Windows without which nothing is told.
pub const WINDOWS_MIN: usize = 6;
/// Windows of a block: neighbors within one share what made them differ (a collection, a checkpoint).
const BLOCK: (usize, usize) = (3, 6);
const REPLICATES: usize = 1000;
/// Windows in half of the loads without which the halves are not compared.
const HALF_MIN: usize = 5;
/// By how much a demand must have moved between the halves to be said to.
pub const MOVED_MIN: f64 = 0.15;
/// Windows with less than this part of the mean load are not trusted the more for it.
const LOAD_FLOOR: f64 = 0.1;

/// What was seen in one stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub seconds: f64,
    /// Mean servers busy.
    pub busy: f64,
    /// Requests per second of each class.
    pub rates_per_s: Vec<f64>,
}

/// A figure with its interval of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub ci95: [f64; 2],
}

#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Classes that were estimated as one.
    pub group: Group,
    /// Seconds of service a request.
    pub demand_s: Interval,
}

/// The demand of a request of the mean mix, in the windows with the lower and the higher half of the loads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    pub lower_s: f64,
    pub upper_s: f64,
    /// upper/lower is further from 1 than [`MOVED_MIN`], and further than residuals of this size make it in 95 of 100 cases.
    pub moved: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Demands {
    pub demands: Vec<Demand>,
    /// Servers busy without any request; `None` where the load hardly varied, so that it cannot be told from what requests use.
    pub background: Option<Interval>,
    /// `None` where the lower half has too few windows, or too much the same load.
    pub drift: Option<Drift>,
}

/// Non-negative weighted least squares over the windows, in order of time. A window weighs its seconds over its load, for the busy time of a
/// number of requests that come as they please varies as that number does. `None` with too few windows, or where no request ever came.
pub fn demands(windows: &[Window], random: &mut Stream) -> Option<Demands> {
    let rates: Vec<Vec<f64>> = windows.iter().map(|window| window.rates_per_s.clone()).collect();
    let groups = groups(&rates);
    let total = totals(windows);
    let with_background = varies(&total) >= VARIES_MIN;
    let columns = groups.len() + usize::from(with_background);
    if windows.len() < WINDOWS_MIN || total.iter().sum::<f64>() <= 0.0 {
        return None;
    }
    let mut design: Vec<Vec<f64>> = groups.iter().map(|group| summed(&rates, &group.classes)).collect();
    if with_background {
        design.push(vec![1.0; windows.len()]);
    }
    let busy: Vec<f64> = windows.iter().map(|window| window.busy).collect();
    let model = Model::new(design, weights(windows, &total));
    let found = model.fit(&busy);
    let again = Again::new(&model, &found, &busy);
    // A residual bootstrap of n windows knows no more about the spread than n − p windows tell, as t does beside the normal distribution.
    let free = (windows.len() - columns) as f64;
    let wider = t_quantile(0.975, free) / t_quantile(0.975, 1e6);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(REPLICATES); columns];
    let halves = Halves::of(&total, &model);
    let moved = halves.as_ref().and_then(|halves| halves.demands(&busy));
    let mut apart = Vec::new();
    for _ in 0..REPLICATES {
        let busy = again.draw(random);
        for (drawn, value) in drawn.iter_mut().zip(model.fit(&busy)) {
            drawn.push(value);
        }
        if moved.is_some() {
            apart.extend(halves.as_ref().and_then(|halves| halves.demands(&busy)).map(ratio));
        }
    }
    let interval = |column: usize| {
        let mut drawn = drawn[column].clone();
        drawn.sort_by(f64::total_cmp);
        let end = |share: f64| found[column] + wider * (quantile(&drawn, share) - found[column]);
        Interval { value: found[column], ci95: [end(0.025).max(0.0), end(0.975)] }
    };
    let drift = moved.map(|(lower_s, upper_s)| {
        apart.sort_by(f64::total_cmp);
        let far = ratio((lower_s, upper_s)) >= (1.0 + MOVED_MIN).ln();
        Drift { lower_s, upper_s, moved: far && ratio((lower_s, upper_s)) > quantile(&apart, 0.95) }
    });
    Some(Demands {
        background: with_background.then(|| interval(groups.len())),
        demands: groups
            .into_iter()
            .enumerate()
            .map(|(place, group)| Demand { group, demand_s: interval(place) })
            .collect(),
        drift,
    })
}

fn totals(windows: &[Window]) -> Vec<f64> {
    windows.iter().map(|window| window.rates_per_s.iter().sum()).collect()
}

fn weights(windows: &[Window], total: &[f64]) -> Vec<f64> {
    let floor = LOAD_FLOOR * total.iter().sum::<f64>() / total.len().max(1) as f64;
    windows
        .iter()
        .zip(total)
        .map(|(window, load)| window.seconds / load.max(floor).max(f64::MIN_POSITIVE))
        .collect()
}

/// |ln(upper/lower)|; infinite where a half has no demand at all.
fn ratio((lower_s, upper_s): (f64, f64)) -> f64 {
    (upper_s / lower_s).ln().abs()
}

/// The value below which a share of the sorted values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * (sorted.len() as f64 - 1.0)).round().max(0.0) as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// Columns of the regression with the weights of their rows, and AᵀWA.
struct Model {
    design: Vec<Vec<f64>>,
    weights: Vec<f64>,
    gram: Vec<Vec<f64>>,
}

impl Model {
    fn new(design: Vec<Vec<f64>>, weights: Vec<f64>) -> Self {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).zip(&weights).map(|((a, b), w)| a * b * w).sum();
        let gram = design.iter().map(|a| design.iter().map(|b| dot(a, b)).collect()).collect();
        Self { design, weights, gram }
    }

    fn fit(&self, busy: &[f64]) -> Vec<f64> {
        let dot =
            |column: &Vec<f64>| column.iter().zip(busy).zip(&self.weights).map(|((a, b), w)| a * b * w).sum();
        nnls(&self.gram, &self.design.iter().map(dot).collect::<Vec<f64>>())
    }

    fn at(&self, found: &[f64], row: usize) -> f64 {
        self.design.iter().zip(found).map(|(column, value)| column[row] * value).sum()
    }
}

/// Draws the same windows again with other residuals.
struct Again {
    fitted: Vec<f64>,
    /// Of weight one, centered.
    residuals: Vec<f64>,
    scales: Vec<f64>,
    block: usize,
}

impl Again {
    fn new(model: &Model, found: &[f64], busy: &[f64]) -> Self {
        let windows = busy.len();
        let fitted: Vec<f64> = (0..windows).map(|row| model.at(found, row)).collect();
        let scales: Vec<f64> = model.weights.iter().map(|weight| 1.0 / weight.sqrt()).collect();
        // Residuals are smaller than the errors they stand for, by what the coefficients took.
        let shrunk = (windows as f64 / (windows as f64 - found.len() as f64)).sqrt();
        let mut residuals: Vec<f64> =
            (0..windows).map(|row| (busy[row] - fitted[row]) / scales[row] * shrunk).collect();
        let mean = residuals.iter().sum::<f64>() / windows as f64;
        residuals.iter_mut().for_each(|residual| *residual -= mean);
        // The cube root is the order that Künsch gives.
        let block = ((windows as f64).cbrt().round() as usize).clamp(BLOCK.0, BLOCK.1);
        Self { fitted, residuals, scales, block }
    }

    fn draw(&self, random: &mut Stream) -> Vec<f64> {
        let windows = self.fitted.len();
        let mut busy = Vec::with_capacity(windows);
        while busy.len() < windows {
            let from = random.random_range(0..=windows - self.block);
            for residual in &self.residuals[from..from + self.block] {
                if let (Some(fitted), Some(scale)) =
                    (self.fitted.get(busy.len()), self.scales.get(busy.len()))
                {
                    busy.push(fitted + scale * residual);
                }
            }
        }
        busy
    }
}

/// The windows with the lower and the higher half of the loads, on the load of all classes together.
struct Halves {
    lower: (Vec<usize>, Model),
    /// Rows, with their loads and weights.
    upper: Vec<(usize, f64, f64)>,
}

impl Halves {
    fn of(total: &[f64], model: &Model) -> Option<Self> {
        let mut order: Vec<usize> = (0..total.len()).collect();
        order.sort_by(|&a, &b| total[a].total_cmp(&total[b]));
        let (lower, upper) = order.split_at(order.len() / 2);
        let load: Vec<f64> = lower.iter().map(|&row| total[row]).collect();
        let weights = lower.iter().map(|&row| model.weights[row]).collect();
        let tells = lower.len() >= HALF_MIN && varies(&load) >= VARIES_MIN;
        let ones = vec![1.0; lower.len()];
        tells.then(|| Self {
            lower: (lower.to_vec(), Model::new(vec![load, ones], weights)),
            upper: upper.iter().map(|&row| (row, total[row], model.weights[row])).collect(),
        })
    }

    /// What is used without any request is best seen under little load, so the background of the lower half counts for both.
    fn demands(&self, busy: &[f64]) -> Option<(f64, f64)> {
        let (rows, model) = &self.lower;
        let lower = model.fit(&rows.iter().map(|&row| busy[row]).collect::<Vec<f64>>());
        let [lower_s, background] = lower[..] else { return None };
        let (mut with, mut load_squares) = (0.0, 0.0);
        for &(row, load, weight) in &self.upper {
            with += weight * load * (busy[row] - background);
            load_squares += weight * load * load;
        }
        Some((lower_s, with / load_squares))
    }
}

#[cfg(test)]
mod tests;
