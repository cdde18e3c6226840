//! A piecewise linear curve over time: users of a closed load, or iterations per second of an open one.

/// Value over time; nanoseconds from the start of the part. Segments follow each other without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    pub from_ns: u64,
    pub to_ns: u64,
    pub start: f64,
    pub end: f64,
}

impl Curve {
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}
