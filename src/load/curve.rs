//! A piecewise linear curve over time: users of a closed load, or iterations per second of an open one.

/// Value over time; nanoseconds from the start of the part. Segments follow each other without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    segments: Vec<Segment>,
    /// Value at the end: what a hold holds and a ramp starts from.
    last: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    pub from_ns: u64,
    pub to_ns: u64,
    pub start: f64,
    pub end: f64,
}

impl Curve {
    /// A curve of no length yet that starts at `start_value`.
    pub fn new(start_value: f64) -> Self {
        Self { segments: Vec::new(), last: start_value }
    }

    /// Appends a straight line to `value` over `over_ns`; with no time to do it in, the value jumps.
    #[must_use]
    pub fn ramp_to(mut self, value: f64, over_ns: u64) -> Self {
        if over_ns > 0 {
            let from_ns = self.end_ns();
            let to_ns = from_ns.saturating_add(over_ns);
            self.segments.push(Segment { from_ns, to_ns, start: self.last, end: value });
        }
        self.last = value;
        self
    }

    /// Appends `for_ns` at the value reached.
    #[must_use]
    pub fn hold(self, for_ns: u64) -> Self {
        let value = self.last;
        self.ramp_to(value, for_ns)
    }

    pub fn end_ns(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.to_ns)
    }

    /// The highest value the curve reaches.
    pub fn peak(&self) -> f64 {
        self.segments.iter().fold(self.last, |peak, segment| peak.max(segment.start).max(segment.end))
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}
