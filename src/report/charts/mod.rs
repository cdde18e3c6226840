//! The charts of the page, drawn by plotters as SVG. Colors are roles: each is drawn in a key color of its own and turned into a
//! CSS class afterwards, so that one drawing serves light, dark and print, and fonts are the page's.

pub mod axis;
pub mod load;
pub mod percentiles;
pub mod plot;
pub mod resources;
pub mod search;
pub mod timeline;

use plotters::style::RGBColor;

/// Drawing units in one CSS pixel: plotters rounds to whole units, and lines should not show it.
pub const UNITS_PER_PX: u32 = 4;
/// Series told apart by color and shape in one chart; whoever has more shows the most telling ones.
pub const SERIES_MAX: usize = 6;

/// What a line, mark or area stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Grid,
    Axis,
    Muted,
    Good,
    Bad,
    LoadLine,
    Bracket,
    Limit,
    Ideal,
    Response,
    Service,
    Onset,
    Event,
    PhaseBand,
    GoodBand,
    BadBand,
    Series(usize),
}

impl Role {
    const ALL: [Self; 16 + SERIES_MAX] = [
        Self::Grid,
        Self::Axis,
        Self::Muted,
        Self::Good,
        Self::Bad,
        Self::LoadLine,
        Self::Bracket,
        Self::Limit,
        Self::Ideal,
        Self::Response,
        Self::Service,
        Self::Onset,
        Self::Event,
        Self::PhaseBand,
        Self::GoodBand,
        Self::BadBand,
        Self::Series(0),
        Self::Series(1),
        Self::Series(2),
        Self::Series(3),
        Self::Series(4),
        Self::Series(5),
    ];

    /// The name in CSS: `.f-…` fills with it, `.s-…` strokes with it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Axis => "axis",
            Self::Muted => "muted",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::LoadLine => "loadline",
            Self::Bracket => "bracket",
            Self::Limit => "limit",
            Self::Ideal => "ideal",
            Self::Response => "response",
            Self::Service => "service",
            Self::Onset => "onset",
            Self::Event => "event",
            Self::PhaseBand => "phaseband",
            Self::GoodBand => "goodband",
            Self::BadBand => "badband",
            Self::Series(i) => ["c0", "c1", "c2", "c3", "c4", "c5"][i % SERIES_MAX],
        }
    }

    /// The key color; no two roles share one, and nobody ever sees it.
    fn key(self) -> RGBColor {
        let place = Self::ALL.iter().position(|role| *role == self).unwrap_or(0);
        RGBColor(0xfe, 0x01, place as u8)
    }
}

/// How a series marks its points: told apart without color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Circle,
    Cross,
    Triangle,
    Square,
    Diamond,
    Ring,
    /// A line without marks.
    Line,
}

impl Shape {
    /// The shape of the i-th series.
    pub fn of_series(i: usize) -> Self {
        [Self::Circle, Self::Triangle, Self::Square, Self::Diamond, Self::Ring, Self::Cross][i % SERIES_MAX]
    }
}

/// One entry of the legend, which the page draws.
#[derive(Clone, Debug)]
pub struct Key {
    pub role: Role,
    pub shape: Shape,
    pub label: String,
}

impl Key {
    pub fn new(role: Role, shape: Shape, label: impl Into<String>) -> Self {
        Self { role, shape, label: label.into() }
    }
}

/// A finished chart: what it shows in words, and the elements inside its `<svg>`.
#[derive(Clone, Debug)]
pub struct Picture {
    pub title: String,
    /// What the chart says, for whoever cannot see it.
    pub description: String,
    pub width_px: u32,
    pub height_px: u32,
    /// Inner elements, safe to stand in a page: plotters escapes every text it draws.
    pub elements: String,
    pub legend: Vec<Key>,
}

/// The drawing without its frame, key colors turned into classes, and what only repeats itself left out.
fn classed(svg: &str) -> String {
    let inner = svg.split_once('>').map_or("", |(_, rest)| rest);
    let mut out = inner.trim_end().trim_end_matches("</svg>").replace(" opacity=\"1\"", "");
    out = out.replace(" font-family=\"sans-serif\"", "").replace(" stroke=\"none\"", "").replace(">\n", ">");
    for role in Role::ALL {
        let RGBColor(r, g, b) = role.key();
        let key = format!("#{r:02X}{g:02X}{b:02X}");
        out = out
            .replace(&format!("fill=\"{key}\""), &format!("class=\"f-{}\"", role.class()))
            .replace(&format!("stroke=\"{key}\""), &format!("class=\"s-{}\"", role.class()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Role, classed};

    #[test]
    fn every_role_has_a_key_of_its_own() {
        for (i, role) in Role::ALL.iter().enumerate() {
            assert_eq!(role.key().2 as usize, i);
            assert_eq!(Role::ALL.iter().filter(|other| other.class() == role.class()).count(), 1, "{role:?}");
        }
    }

    #[test]
    fn key_colors_become_classes() {
        let svg = "<svg a=\"1\">\n<line opacity=\"1\" stroke=\"#FE0100\" x1=\"1\"/>\n<rect fill=\"#FE0103\" stroke=\"none\"/>\n</svg>\n";
        assert_eq!(
            classed(svg).replace('\n', ""),
            "<line class=\"s-grid\" x1=\"1\"/><rect class=\"f-good\"/>"
        );
    }
}
