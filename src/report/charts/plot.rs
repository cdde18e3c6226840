//! One panel of a chart: axes with ticks and a light grid, and the things drawn in it, all in the values' own units. Panels that
//! share a drawing stand below each other with their edges aligned.

use super::axis::Axis;
use super::{Key, Picture, Role, Shape, UNITS_PER_PX, classed};
use crate::report::ReportError;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Cross, EmptyElement, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, ShapeStyle, TextStyle};
use std::ops::Range;

const LABEL_PX: f64 = 11.5;
const Y_LABELS_PX: u32 = 58;
const X_LABELS_PX: u32 = 24;
const RIGHT_PX: u32 = 24;
const MARK_PX: i32 = 4;
const TICK_PX: u32 = 4;
/// plotters writes a font size 1.24 times smaller than it was asked for.
const FONT_SCALE: f64 = 1.24;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What is to be drawn around the values.
pub struct Frame<'t> {
    pub x: &'t Axis,
    pub y: &'t Axis,
    /// What the y axis shows, with its unit; stands above the panel.
    pub caption: &'t str,
    /// What the x axis shows; `None` leaves out its labels, for panels above others.
    pub x_caption: Option<&'t str>,
    /// Room above the panel, for the caption and the labels of vertical lines.
    pub top_px: u32,
}

pub struct Plot<'a, 't> {
    chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<Ticked, Ticked>>,
    x: &'t Axis,
    y: &'t Axis,
    name: &'static str,
}

/// Draws a chart of panels below each other, each `(height in px, what draws it)`.
///
/// # Errors
/// [`ReportError::Chart`] when plotters refuses an element.
pub fn picture(
    name: &'static str,
    width_px: u32,
    panels_px: &[u32],
    draw: impl FnOnce(&[Area<'_>]) -> Result<(), ReportError>,
) -> Result<Picture, ReportError> {
    let height_px = panels_px.iter().sum::<u32>().max(1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width_px * UNITS_PER_PX, height_px * UNITS_PER_PX))
            .into_drawing_area();
        let mut areas = Vec::with_capacity(panels_px.len());
        let mut rest = root.clone();
        for panel_px in panels_px {
            let (panel, below) = rest.split_vertically(panel_px * UNITS_PER_PX);
            areas.push(panel);
            rest = below;
        }
        draw(&areas)?;
        root.present().map_err(|error| refused(name, &error))?;
    }
    let elements = classed(&svg);
    Ok(Picture {
        title: String::new(),
        description: String::new(),
        width_px,
        height_px,
        elements,
        legend: Vec::new(),
    })
}

impl Picture {
    /// The words that go with a drawing.
    pub fn told(self, title: impl Into<String>, description: impl Into<String>, legend: Vec<Key>) -> Self {
        Self { title: title.into(), description: description.into(), legend, ..self }
    }
}

impl<'a, 't> Plot<'a, 't> {
    /// The empty panel with its grid.
    ///
    /// # Errors
    /// As [`picture`].
    pub fn new(name: &'static str, area: &Area<'a>, frame: &Frame<'t>) -> Result<Self, ReportError> {
        let ticked = |axis: &Axis| Ticked(axis.ticks.iter().filter_map(|tick| axis.at(*tick)).collect());
        let (x_labels_px, x_desc) = match frame.x_caption {
            Some("") => (X_LABELS_PX, ""),
            Some(caption) => (X_LABELS_PX + 16, caption),
            None => (4, ""),
        };
        let mut chart = ChartBuilder::on(area)
            .margin_top(frame.top_px * UNITS_PER_PX)
            .margin_right(RIGHT_PX * UNITS_PER_PX)
            .set_left_and_bottom_label_area_size(Y_LABELS_PX * UNITS_PER_PX)
            .x_label_area_size(x_labels_px * UNITS_PER_PX)
            .build_cartesian_2d(ticked(frame.x), ticked(frame.y))
            .map_err(|error| refused(name, &error))?;
        let labeled = frame.x_caption.is_some();
        let x_label = |place: &f64| if labeled { frame.x.label_at(*place) } else { String::new() };
        let y_label = |place: &f64| frame.y.label_at(*place);
        chart
            .configure_mesh()
            .axis_style(stroke(Role::Axis, 1.0))
            .bold_line_style(stroke(Role::Grid, 1.0))
            .light_line_style(plotters::style::TRANSPARENT)
            .set_all_tick_mark_size(TICK_PX * UNITS_PER_PX)
            .label_style(text(Role::Muted, HPos::Left, VPos::Top))
            .axis_desc_style(text(Role::Muted, HPos::Center, VPos::Bottom))
            .x_desc(x_desc)
            .x_label_formatter(&x_label)
            .y_label_formatter(&y_label)
            .draw()
            .map_err(|error| refused(name, &error))?;
        let caption =
            Text::new(frame.caption.to_owned(), (px(4), px(2)), text(Role::Muted, HPos::Left, VPos::Top));
        area.draw(&caption).map_err(|error| refused(name, &error))?;
        Ok(Self { chart, x: frame.x, y: frame.y, name })
    }

    /// A line through the points; it breaks where a value is no number.
    ///
    /// # Errors
    /// As [`picture`], like those of all that follow.
    pub fn line(&mut self, points: &[(f64, f64)], role: Role, width_px: f64) -> Result<(), ReportError> {
        for run in points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
            let path: Vec<(f64, f64)> = run.iter().filter_map(|point| self.place(*point)).collect();
            if path.len() > 1 {
                self.draw(PathElement::new(path, stroke(role, width_px)))?;
            }
        }
        Ok(())
    }

    /// A mark at each point.
    ///
    /// # Errors
    /// As [`picture`].
    pub fn marks(&mut self, points: &[(f64, f64)], role: Role, shape: Shape) -> Result<(), ReportError> {
        let m = px(MARK_PX);
        let fill = ShapeStyle::from(&role.key()).filled();
        for at in points.iter().filter_map(|point| self.place(*point)).collect::<Vec<_>>() {
            let polygon = |corners: Vec<(i32, i32)>| EmptyElement::at(at) + Polygon::new(corners, fill);
            match shape {
                Shape::Circle => self.draw(Circle::new(at, m, fill))?,
                Shape::Ring => self.draw(Circle::new(at, m, stroke(role, 2.0)))?,
                Shape::Cross => self.draw(Cross::new(at, m, stroke(role, 2.5)))?,
                Shape::Triangle => self.draw(polygon(vec![(-m, m), (m, m), (0, -m)]))?,
                Shape::Square => self.draw(polygon(vec![(-m, -m), (m, -m), (m, m), (-m, m)]))?,
                Shape::Diamond => self.draw(polygon(vec![(-m, 0), (0, -m), (m, 0), (0, m)]))?,
                Shape::Line => {}
            }
        }
        Ok(())
    }

    /// A line across the panel at one x, with a label above it that stays inside.
    ///
    /// # Errors
    /// As [`picture`].
    pub fn vertical(&mut self, x: f64, role: Role, width_px: f64, label: &str) -> Result<(), ReportError> {
        let Some(at) = self.x.at(x) else { return Ok(()) };
        self.draw(PathElement::new(vec![(at, 0.0), (at, 1.0)], stroke(role, width_px)))?;
        if label.is_empty() {
            return Ok(());
        }
        let side = match at {
            at if at < 0.25 => HPos::Left,
            at if at > 0.75 => HPos::Right,
            _ => HPos::Center,
        };
        let style = text(role, side, VPos::Bottom);
        self.draw(EmptyElement::at((at, 1.0)) + Text::new(label.to_owned(), (0, -px(3)), style))
    }

    /// A line across the panel at one y, labeled at its left end.
    ///
    /// # Errors
    /// As [`picture`].
    pub fn horizontal(&mut self, y: f64, role: Role, label: &str) -> Result<(), ReportError> {
        let Some(at) = self.y.at(y) else { return Ok(()) };
        self.draw(PathElement::new(vec![(0.0, at), (1.0, at)], stroke(role, 1.5)))?;
        let below = at > 0.9;
        let style = text(role, HPos::Left, if below { VPos::Top } else { VPos::Bottom });
        let offset = (px(6), if below { px(4) } else { -px(3) });
        self.draw(EmptyElement::at((0.0, at)) + Text::new(label.to_owned(), offset, style))
    }

    /// A shade over a span of x, from the bottom to the top of the panel.
    ///
    /// # Errors
    /// As [`picture`].
    pub fn band(&mut self, from: f64, to: f64, role: Role) -> Result<(), ReportError> {
        let (Some(from), Some(to)) = (self.x.at(from), self.x.at(to)) else { return Ok(()) };
        self.draw(Rectangle::new([(from, 0.0), (to, 1.0)], ShapeStyle::from(&role.key()).filled()))
    }

    /// A label above the panel in the middle of a span of x, left out where the span is too narrow for it.
    ///
    /// # Errors
    /// As [`picture`].
    pub fn band_label(&mut self, from: f64, to: f64, role: Role, label: &str) -> Result<(), ReportError> {
        let (Some(from), Some(to)) = (self.x.at(from), self.x.at(to)) else { return Ok(()) };
        let width = (to - from) * f64::from(self.chart.plotting_area().dim_in_pixel().0);
        let needed = label.chars().count() as f64 * 0.62 * LABEL_PX * f64::from(UNITS_PER_PX);
        if needed > width {
            return Ok(());
        }
        let style = text(role, HPos::Center, VPos::Bottom);
        self.draw(
            EmptyElement::at(((from + to) / 2.0, 1.0)) + Text::new(label.to_owned(), (0, -px(3)), style),
        )
    }

    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((self.x.at(x)?, self.y.at(y)?))
    }

    fn draw<E>(&mut self, element: E) -> Result<(), ReportError>
    where
        for<'b> &'b E: plotters::element::PointCollection<'b, (f64, f64)>,
        E: plotters::element::Drawable<SVGBackend<'a>>,
    {
        self.chart
            .draw_series(std::iter::once(element))
            .map(|_| ())
            .map_err(|error| refused(self.name, &error))
    }
}

/// Places 0..1 with a grid line at each tick: what plotters maps to the panel once an [`Axis`] has placed the values.
#[derive(Clone)]
struct Ticked(Vec<f64>);

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * place).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.0.clone() }
    }

    fn range(&self) -> Range<f64> {
        0.0..1.0
    }
}

fn px(n: i32) -> i32 {
    n * UNITS_PER_PX as i32
}

fn stroke(role: Role, width_px: f64) -> ShapeStyle {
    role.key().stroke_width((width_px * f64::from(UNITS_PER_PX)).round() as u32)
}

fn text(role: Role, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let size = LABEL_PX * f64::from(UNITS_PER_PX) * FONT_SCALE;
    TextStyle {
        font: ("sans-serif", size).into_font(),
        color: role.key().to_backend_color(),
        pos: Pos::new(horizontal, vertical),
    }
}

fn refused(chart: &'static str, error: &dyn std::fmt::Display) -> ReportError {
    ReportError::Chart { chart, reason: error.to_string() }
}
