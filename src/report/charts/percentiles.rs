//! The latency percentile curve as HdrHistogram draws it: x is 1/(1−q) on a logarithmic scale, so each further nine takes the
//! same room and the tail is seen. One small chart an endpoint, both clocks, all on one scale.

use super::axis::Axis;
use super::plot::{Frame, Plot, picture};
use super::{Key, Picture, Role, Shape};
use crate::record::summary::EndpointResult;
use crate::report::numbers::{count, ms};
use crate::report::{Report, ReportError, plain};

/// Endpoints that get a curve, those with most requests; the table has them all.
pub const CURVES_MAX: usize = 12;
/// Five nines: beyond them a curve shows the samples there are, not the system.
const NINES_MAX: f64 = 1e5;
const WIDTH_PX: u32 = 360;
/// One curve alone takes the whole width, where its tail has room.
const ALONE_WIDTH_PX: u32 = 1120;
const HEIGHT_PX: u32 = 230;
const TITLE_CHARS_MAX: usize = 40;

/// One picture an endpoint that has a curve, most requests first.
///
/// # Errors
/// [`ReportError::Chart`].
pub fn curves(report: &Report<'_>) -> Result<Vec<Picture>, ReportError> {
    let mut endpoints: Vec<&EndpointResult> =
        report.summary.endpoints.iter().filter(|e| e.curve.len() > 1 && e.count > 0).collect();
    endpoints.sort_by_key(|e| std::cmp::Reverse(e.count));
    endpoints.truncate(CURVES_MAX);
    let most = endpoints.iter().map(|e| nines_of(e)).fold(10.0, f64::max);
    let x = Axis::logarithmic(1.0, most, percentile_label);
    let values = endpoints.iter().flat_map(|e| e.curve.iter().flat_map(|point| [point[1], point[2]]));
    let y = Axis::fitting(values.filter(|v| *v > 0.0), ms);
    let width_px = if endpoints.len() == 1 { ALONE_WIDTH_PX } else { WIDTH_PX };
    endpoints.into_iter().map(|endpoint| curve(endpoint, &x, &y, width_px)).collect()
}

fn curve(endpoint: &EndpointResult, x: &Axis, y: &Axis, width_px: u32) -> Result<Picture, ReportError> {
    let nines = nines_of(endpoint);
    let clock = |which: usize| -> Vec<(f64, f64)> {
        let known = endpoint.curve.iter().filter(|point| point[0] >= 1.0 || place(point[0]) < nines);
        known.map(|point| (place(point[0]).min(nines), point[which])).collect()
    };
    let drawn = picture("percentiles", width_px, &[HEIGHT_PX], |areas| {
        let frame = Frame { x, y, caption: "", x_caption: Some("percentile of requests"), top_px: 10 };
        let mut plot = Plot::new("percentiles", &areas[0], &frame)?;
        plot.line(&clock(2), Role::Service, 2.0)?;
        plot.line(&clock(1), Role::Response, 2.0)
    })?;
    let l = &endpoint.response_ms;
    let description = format!(
        "Response time of {}: half within {}, 99 of 100 within {}, the slowest of {} took {}.",
        plain::name(&endpoint.name),
        ms(l.p50),
        ms(l.p99),
        count(endpoint.count),
        ms(l.max)
    );
    let legend = vec![
        Key::new(Role::Response, Shape::Line, "response time"),
        Key::new(Role::Service, Shape::Line, "service time"),
    ];
    Ok(drawn.told(plain::line(&endpoint.name, TITLE_CHARS_MAX), description, legend))
}

/// As far as the samples of an endpoint reach: the slowest of n lies at 1 − 1/n.
fn nines_of(endpoint: &EndpointResult) -> f64 {
    (endpoint.count as f64).clamp(2.0, NINES_MAX)
}

/// 1/(1−q): how many samples there are for one that is slower.
fn place(quantile: f64) -> f64 {
    if quantile >= 1.0 { NINES_MAX } else { 1.0 / (1.0 - quantile) }
}

/// The percentile at 1/(1−q): 10 is 90, 1000 is 99.9.
fn percentile_label(nines: f64) -> String {
    let percentile = 100.0 * (1.0 - 1.0 / nines);
    let decimals = (nines.log10() - 2.0 + 1e-9).floor().clamp(0.0, 6.0) as usize;
    format!("{percentile:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::{percentile_label, place};

    #[test]
    fn each_nine_is_a_decade() {
        let labels = [1.0, 2.0, 10.0, 100.0, 1000.0, 1e6].map(percentile_label);
        assert_eq!(labels, ["0", "50", "90", "99", "99.9", "99.9999"]);
        assert!((place(0.999) - 1000.0).abs() < 1e-6);
    }
}
