//! Service demands: what a request of each class takes of a resource, from how busy the resource was under which rates.
//!
//! In window w: busy(w) = b + Σ_c D_c·X_c(w), the utilization law with a background. busy in servers (cores, slots); b the use without any request;
//! D_c seconds of service a request of class c needs over all its visits; X_c requests per second.
//!
//! Sources: Denning and Buzen 1978 for the law; Lawson and Hanson 1974 for the estimate; `errors` for the intervals.

use super::classes::{Group, VARIES_MIN, groups, summed, varies};
use super::curve::Curve;
use super::errors::Errors;
use super::nnls::nnls;
use crate::seed::Stream;

/// Windows without which nothing is told.
pub const WINDOWS_MIN: usize = 6;
/// Draws of residuals by which a difference between the halves of the loads is judged.
const REPLICATES: usize = 1000;
/// Windows in half of the loads without which the halves are not compared.
const HALF_MIN: usize = 5;
/// By how much a demand must have moved between the halves to be said to.
pub const MOVED_MIN: f64 = 0.15;
/// Windows with less than this part of the mean size are not trusted the more for it.
const LOAD_FLOOR: f64 = 0.1;

/// What was seen in one stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub seconds: f64,
    /// Mean servers busy.
    pub busy: f64,
    /// Requests per second of each class.
    pub rates_per_s: Vec<f64>,
    /// Mean users there.
    pub users: f64,
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
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    pub lower_s: f64,
    pub upper_s: f64,
    /// upper/lower is further from 1 than [`MOVED_MIN`], and further than residuals of this size make it in 95 of 100 cases.
    pub moved: bool,
    /// Where it moved, use over requests of the mean mix per second.
    pub curve: Option<Curve>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Demands {
    pub demands: Vec<Demand>,
    /// Servers busy without any request; `None` where the load hardly varied, so that it cannot be told from what requests use.
    pub background: Option<Interval>,
    /// `None` where the lower half has too few windows, or too much the same load.
    pub drift: Option<Drift>,
}

/// Non-negative weighted least squares over the windows, in order of time. A window weighs its seconds over how busy the resource is expected to be in it, for
/// the busy time of requests that come as they please varies as their number does. `None` with too few windows, or where no request ever came.
pub fn demands(windows: &[Window], random: &mut Stream) -> Option<Demands> {
    let rates: Vec<Vec<f64>> = windows.iter().map(|window| window.rates_per_s.clone()).collect();
    let groups = groups(&rates);
    let total = totals(windows);
    let with_background = varies(&total) >= VARIES_MIN;
    if windows.len() < WINDOWS_MIN || total.iter().sum::<f64>() <= 0.0 {
        return None;
    }
    let mut design: Vec<Vec<f64>> = groups.iter().map(|group| summed(&rates, &group.classes)).collect();
    if with_background {
        design.push(vec![1.0; windows.len()]);
    }
    let busy: Vec<f64> = windows.iter().map(|window| window.busy).collect();
    let model = Model::weighted(design, windows, &busy);
    let found = model.fit(&busy);
    let errors = Errors::of(&model.scaled(), &model.scaled_right(&busy))?;
    let interval =
        |column: usize| Interval { value: found[column], ci95: errors.interval(column, found[column]) };
    let drift = Halves::of(&total, &model, &found[..groups.len()])
        .and_then(|halves| halves.drift(&model, &found, &busy, &errors, random));
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

/// Seconds over a size that the variance goes with.
fn weights(windows: &[Window], sizes: &[f64]) -> Vec<f64> {
    let floor = LOAD_FLOOR * sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let all_zero = floor <= 0.0;
    windows
        .iter()
        .zip(sizes)
        .map(|(window, size)| window.seconds / if all_zero { 1.0 } else { size.max(floor) })
        .collect()
}

/// |ln(upper/lower)|; infinite where a half has no demand at all.
fn ratio(lower_s: f64, upper_s: f64) -> f64 {
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

    /// Weighted by what was offered first, then by what that makes of how busy the resource was: a window with dearer requests varies more.
    fn weighted(design: Vec<Vec<f64>>, windows: &[Window], busy: &[f64]) -> Self {
        let first = Self::new(design, weights(windows, &totals(windows)));
        let rough = first.fit(busy);
        let expected: Vec<f64> = (0..busy.len()).map(|row| first.at(&rough, row)).collect();
        Self::new(first.design, weights(windows, &expected))
    }

    fn fit(&self, busy: &[f64]) -> Vec<f64> {
        let dot =
            |column: &Vec<f64>| column.iter().zip(busy).zip(&self.weights).map(|((a, b), w)| a * b * w).sum();
        nnls(&self.gram, &self.design.iter().map(dot).collect::<Vec<f64>>())
    }

    /// The columns, each row times the root of its weight.
    fn scaled(&self) -> Vec<Vec<f64>> {
        self.design.iter().map(|column| self.scaled_right(column)).collect()
    }

    fn scaled_right(&self, column: &[f64]) -> Vec<f64> {
        column.iter().zip(&self.weights).map(|(value, weight)| value * weight.sqrt()).collect()
    }

    fn at(&self, found: &[f64], row: usize) -> f64 {
        self.design.iter().zip(found).map(|(column, value)| column[row] * value).sum()
    }
}

/// The windows with the lower and the higher half of the loads. A load counts as so many requests of the mean mix as would use as much by the demands
/// that were found: else a mix that goes to dearer requests as the load grows would look like a demand that does.
struct Halves {
    lower: (Vec<usize>, Model),
    /// Rows, with their loads and weights.
    upper: Vec<(usize, f64, f64)>,
}

impl Halves {
    /// `demands_s` are those of the columns of the model that stand for requests.
    fn of(total: &[f64], model: &Model, demands_s: &[f64]) -> Option<Self> {
        let used = |row: usize| -> f64 {
            model.design.iter().zip(demands_s).map(|(column, demand_s)| column[row] * demand_s).sum()
        };
        let mean_s = (0..total.len()).map(used).sum::<f64>() / total.iter().sum::<f64>();
        let load = |row: usize| used(row) / mean_s;
        let mut order: Vec<usize> = (0..total.len()).collect();
        order.sort_by(|&a, &b| total[a].total_cmp(&total[b]));
        let (lower, upper) = order.split_at(order.len() / 2);
        let loads: Vec<f64> = lower.iter().map(|&row| load(row)).collect();
        let weights = lower.iter().map(|&row| model.weights[row]).collect();
        let tells = mean_s > 0.0 && lower.len() >= HALF_MIN && varies(&loads) >= VARIES_MIN;
        let ones = vec![1.0; lower.len()];
        tells.then(|| Self {
            lower: (lower.to_vec(), Model::new(vec![loads, ones], weights)),
            upper: upper.iter().map(|&row| (row, load(row), model.weights[row])).collect(),
        })
    }

    /// The demand of both halves, held against what both would be by chance if one demand held for all loads.
    fn drift(
        &self,
        model: &Model,
        found: &[f64],
        busy: &[f64],
        errors: &Errors,
        random: &mut Stream,
    ) -> Option<Drift> {
        let (background, lower_s, upper_s) = self.demands(busy)?;
        // The errors around two demands: around one, a demand that moves would look like errors that stay for long.
        let errors = &self.errors(model, busy).unwrap_or_else(|| errors.clone());
        let draw = |_| {
            let drawn = errors.draw(busy.len(), random);
            let error = |row: usize| drawn[row] / model.weights[row].sqrt();
            let busy: Vec<f64> = (0..busy.len()).map(|row| model.at(found, row) + error(row)).collect();
            self.demands(&busy).map(|(_, lower_s, upper_s)| ratio(lower_s, upper_s))
        };
        let mut apart: Vec<f64> = (0..REPLICATES).filter_map(draw).collect();
        apart.sort_by(f64::total_cmp);
        let far = ratio(lower_s, upper_s);
        let moved = far >= (1.0 + MOVED_MIN).ln() && far > quantile(&apart, 0.95);
        let curve = if moved { self.curve(busy, (background, lower_s)) } else { None };
        Some(Drift { lower_s, upper_s, moved, curve })
    }

    /// Of all windows, with the background and the demand of the lower half.
    fn curve(&self, busy: &[f64], below: (f64, f64)) -> Option<Curve> {
        let (rows, lower) = &self.lower;
        let lower: Vec<(f64, f64)> =
            rows.iter().zip(&lower.design[0]).map(|(&row, load)| (*load, busy[row])).collect();
        let upper: Vec<(f64, f64)> = self.upper.iter().map(|&(row, load, _)| (load, busy[row])).collect();
        Curve::through(&lower, &upper, below)
    }

    /// Of the windows around a demand of its own for each half.
    fn errors(&self, model: &Model, busy: &[f64]) -> Option<Errors> {
        let (rows, lower) = &self.lower;
        let mut columns = [vec![0.0; busy.len()], vec![0.0; busy.len()], vec![1.0; busy.len()]];
        for (&row, load) in rows.iter().zip(&lower.design[0]) {
            columns[0][row] = *load;
        }
        for &(row, load, _) in &self.upper {
            columns[1][row] = load;
        }
        let scaled: Vec<Vec<f64>> = columns.iter().map(|column| model.scaled_right(column)).collect();
        Errors::of(&scaled, &model.scaled_right(busy))
    }

    /// Background, and the demands of both halves. What is used without any request is best seen under little load, so that of the lower half counts for both.
    fn demands(&self, busy: &[f64]) -> Option<(f64, f64, f64)> {
        let (rows, model) = &self.lower;
        let lower = model.fit(&rows.iter().map(|&row| busy[row]).collect::<Vec<f64>>());
        let [lower_s, background] = lower[..] else { return None };
        let (mut with, mut load_squares) = (0.0, 0.0);
        for &(row, load, weight) in &self.upper {
            with += weight * load * (busy[row] - background);
            load_squares += weight * load * load;
        }
        Some((background, lower_s, with / load_squares))
    }
}

#[cfg(test)]
mod tests;
