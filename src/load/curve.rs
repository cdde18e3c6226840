//! A piecewise linear curve over time: users of a closed load, or iterations per second of an open one. The area under it is the
//! number of arrivals so far, and its inverse is the instant of an arrival. A search appends to its curve while it runs.

use crate::units::NANOS_PER_S;

/// Value over time; nanoseconds from the start of the part. Segments follow each other without gaps; between the end of one and the
/// start of the next the value may jump, and the jump belongs to the later one.
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
    /// Area under the curve before this segment, value × seconds.
    pub area_before: f64,
}

impl Curve {
    /// A curve of no length yet that starts at `start_value`.
    pub fn new(start_value: f64) -> Self {
        Self { segments: Vec::new(), last: start_value }
    }

    /// Appends a straight line to `value` over `over_ns`; with no time to do it in, the value jumps.
    #[must_use]
    pub fn ramp_to(mut self, value: f64, over_ns: u64) -> Self {
        self.append_ramp(value, over_ns);
        self
    }

    /// Appends `for_ns` at the value reached.
    #[must_use]
    pub fn hold(mut self, for_ns: u64) -> Self {
        self.append_hold(for_ns);
        self
    }

    /// [`Curve::ramp_to`] on a curve that is already being run.
    pub fn append_ramp(&mut self, value: f64, over_ns: u64) {
        if over_ns > 0 {
            let from_ns = self.end_ns();
            let area_before = self.area();
            let to_ns = from_ns.saturating_add(over_ns);
            self.segments.push(Segment { from_ns, to_ns, start: self.last, end: value, area_before });
        }
        self.last = value;
    }

    /// [`Curve::hold`] on a curve that is already being run.
    pub fn append_hold(&mut self, for_ns: u64) {
        self.append_ramp(self.last, for_ns);
    }

    /// Holds the last value until `now_ns`, so that what is appended next does not begin in the past.
    pub fn extend_to(&mut self, now_ns: u64) {
        self.append_hold(now_ns.saturating_sub(self.end_ns()));
    }

    /// Steers a running curve: whatever its last segment still held ends at `at_ns`, from there it goes to `value` over `over_ns` and
    /// then stays for `hold_ns`. Segments before the last one are the past and are not touched, so cursors into them stay valid.
    pub fn steer(&mut self, at_ns: u64, value: f64, over_ns: u64, hold_ns: u64) {
        if let Some(segment) = self.segments.last_mut() {
            let at_ns = at_ns.clamp(segment.from_ns, segment.to_ns);
            segment.end = segment.value_at(at_ns);
            segment.to_ns = at_ns;
            self.last = segment.end;
        }
        self.extend_to(at_ns);
        self.append_ramp(value, over_ns);
        self.append_hold(hold_ns);
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn end_ns(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.to_ns)
    }

    /// The highest value the curve reaches.
    pub fn peak(&self) -> f64 {
        self.segments.iter().fold(self.last, |peak, segment| peak.max(segment.start).max(segment.end))
    }

    /// The value at `ns`; from the end on, the last one.
    pub fn value_at(&self, ns: u64) -> f64 {
        self.segments.get(self.segment_at(ns)).map_or(self.last, |segment| segment.value_at(ns))
    }

    /// Area under the curve from its start to `ns`, value × seconds. It stops growing where the curve ends.
    pub fn area_to(&self, ns: u64) -> f64 {
        match self.segments.get(self.segment_at(ns)) {
            Some(segment) => segment.area_to(ns),
            None => self.area(),
        }
    }

    /// Area under the whole curve, value × seconds.
    pub fn area(&self) -> f64 {
        self.segments.last().map_or(0.0, |segment| segment.area_to(segment.to_ns))
    }

    /// The smallest instant at which the area under the curve has reached `area`; `None` where it never does.
    pub fn time_of_area(&self, area: f64) -> Option<u64> {
        if area <= 0.0 {
            return Some(0);
        }
        let index = self.segments.partition_point(|segment| segment.area_to(segment.to_ns) < area);
        self.segments.get(index).map(|segment| segment.time_of_area(area))
    }

    /// The first instant past which the area exceeds `area` (by more than [`AREA_TOLERANCE`]): where the value is zero nothing
    /// arrives, not even the arrival that was due when it became zero. `segment` is the caller's cursor and only moves forward.
    pub(super) fn time_past_area(&self, area: f64, segment: &mut usize) -> Option<u64> {
        while let Some(candidate) = self.segments.get(*segment) {
            if candidate.area_to(candidate.to_ns) - area > AREA_TOLERANCE {
                return Some(candidate.time_of_area(area));
            }
            *segment += 1;
        }
        None
    }

    /// Users of a closed load at `ns`: the whole part of the value. On a ramp 0 → N over T, user k (from 0) starts at (k+1)·T/N, so
    /// there are never more users than the curve says, and the last one starts in the instant in which the level is reached.
    pub fn users_at(&self, ns: u64) -> u64 {
        whole(self.value_at(ns))
    }

    /// How many users of a closed load come in all. Whoever comes after others have left is a new one.
    pub fn newcomers(&self) -> u64 {
        self.rises(u64::MAX).map(|(from, to)| to - from).sum()
    }

    /// The number, from 0 and in the order of their coming, of the user who holds place `place` of [`Curve::users_at`] at `ns`. It is a function
    /// of the curve, so all who run a share of it number their users alike.
    pub fn newcomer_at(&self, place: u64, ns: u64) -> u64 {
        let (mut come, mut number) = (0, place);
        for (from, to) in self.rises(ns) {
            if (from..to).contains(&place) {
                number = come + place - from;
            }
            come += to - from;
        }
        number
    }

    /// From how many users to how many, each time there are more, up to `ns`.
    fn rises(&self, ns: u64) -> impl Iterator<Item = (u64, u64)> {
        let begun = self.segments.iter().zip(1..).take_while(move |(segment, _)| segment.from_ns <= ns);
        let values = begun.flat_map(move |(segment, next)| {
            let after = self.segments.get(next).map_or(self.last, |next| next.start);
            // Where it jumps down at its end, the value at the end is never there.
            let cut = ns >= segment.to_ns && after < segment.end;
            [segment.start, segment.value_at(if cut { segment.to_ns - 1 } else { ns })]
        });
        let values = values.chain((ns >= self.end_ns()).then_some(self.last));
        let mut users = 0;
        values.filter_map(move |value| {
            let before = std::mem::replace(&mut users, whole(value));
            (users > before).then_some((before, users))
        })
    }

    /// The first instant, not before `now_ns`, at which the number of users differs from `count`, with the new number. `None`
    /// when it stays until the end of the curve.
    pub fn next_change(&self, now_ns: u64, count: u64) -> Option<(u64, u64)> {
        let first = self.segment_at(now_ns);
        let Some(segments) = self.segments.get(first..).filter(|rest| !rest.is_empty()) else {
            return (whole(self.last) != count).then(|| (now_ns, whole(self.last)));
        };
        for segment in segments {
            let from_ns = segment.from_ns.max(now_ns);
            let users = |ns: u64| whole(segment.value_at(ns));
            if users(from_ns) != count {
                return Some((from_ns, users(from_ns)));
            }
            if users(segment.to_ns) == count {
                continue;
            }
            // On a straight line the number of users is monotone, so halving finds the nanosecond in at most 64 steps.
            let (mut same_ns, mut changed_ns) = (from_ns, segment.to_ns);
            while changed_ns - same_ns > 1 {
                let middle_ns = same_ns + (changed_ns - same_ns) / 2;
                *(if users(middle_ns) == count { &mut same_ns } else { &mut changed_ns }) = middle_ns;
            }
            // The last instant of a segment is the first of the next, which may have jumped back.
            if self.users_at(changed_ns) != count {
                return Some((changed_ns, self.users_at(changed_ns)));
            }
        }
        let end_ns = self.end_ns();
        (whole(self.last) != count).then(|| (end_ns.max(now_ns), whole(self.last)))
    }

    /// Index of the segment that holds `ns`; past the end, the number of segments.
    fn segment_at(&self, ns: u64) -> usize {
        self.segments.partition_point(|segment| segment.to_ns <= ns)
    }
}

/// Areas closer than this count as equal: a millionth of an arrival, far above the rounding of sums and far below a request.
pub(super) const AREA_TOLERANCE: f64 = 1e-6;

/// A root that rounding put this little past a whole nanosecond still means that nanosecond.
const ROUNDING_NS: f64 = 1e-3;

impl Segment {
    fn value_at(&self, ns: u64) -> f64 {
        if ns >= self.to_ns {
            return self.end;
        }
        let share = (ns - self.from_ns) as f64 / (self.to_ns - self.from_ns) as f64;
        self.start + (self.end - self.start) * share
    }

    fn area_to(&self, ns: u64) -> f64 {
        let ns = ns.clamp(self.from_ns, self.to_ns);
        self.area_before
            + (self.start + self.value_at(ns)) / 2.0 * ((ns - self.from_ns) as f64 / NANOS_PER_S as f64)
    }

    /// Solves area_before + v·t + s·t²/2 = area for the first t. Of the two forms of the root of a quadratic, 2a/(v + √(v² + 2sa))
    /// neither divides by a slope near zero nor subtracts two nearly equal numbers.
    fn time_of_area(&self, area: f64) -> u64 {
        let wanted = (area - self.area_before).max(0.0);
        if wanted == 0.0 {
            return self.from_ns;
        }
        let slope_per_s = (self.end - self.start) * NANOS_PER_S as f64 / (self.to_ns - self.from_ns) as f64;
        let discriminant = (self.start * self.start + 2.0 * slope_per_s * wanted).max(0.0);
        let after_ns = 2.0 * wanted * NANOS_PER_S as f64 / (self.start + discriminant.sqrt());
        let after_ns = (after_ns - ROUNDING_NS).ceil().max(0.0) as u64;
        self.from_ns.saturating_add(after_ns).min(self.to_ns)
    }
}

/// The whole part, forgiving a value that rounding left a few units in the last place below a whole number.
fn whole(value: f64) -> u64 {
    (value * (1.0 + 4.0 * f64::EPSILON)).floor().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn steering_cuts_the_hold_and_goes_on_from_there() {
        let second = S;
        let mut curve = Curve::new(0.0);
        curve.steer(second, 100.0, second, 1000 * second);
        curve.steer(10 * second, 40.0, 0, 1000 * second);
        assert_eq!((curve.value_at(second / 2), curve.value_at(second * 3 / 2)), (0.0, 50.0));
        assert_eq!((curve.value_at(9 * second), curve.value_at(11 * second)), (100.0, 40.0));
        assert!((curve.area_to(12 * second) - (50.0 + 800.0 + 80.0)).abs() < 1e-9);
    }

    use super::*;
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

    const S: u64 = NANOS_PER_S;

    #[test]
    fn a_ramp_starts_user_k_at_its_share_of_the_ramp() {
        let curve = Curve::new(0.0).ramp_to(10.0, 10 * S).hold(5 * S).ramp_to(0.0, 10 * S);
        let (mut now_ns, mut count, mut starts) = (0, 0, Vec::new());
        while let Some((at_ns, users)) = curve.next_change(now_ns, count) {
            starts.push((at_ns, users));
            (now_ns, count) = (at_ns, users);
        }
        let up: Vec<_> = (1..=10).map(|k| (k * S, k)).collect();
        assert_eq!(starts[..10], up[..]);
        assert_eq!(starts[10].1, 9);
        assert!(starts[10].0 - 15 * S <= 2, "the first user leaves as soon as the ramp turns down");
        assert_eq!(
            *starts.last().unwrap(),
            (24 * S + 1, 0),
            "the last user leaves once less than one is asked for"
        );
    }

    #[test]
    fn a_jump_belongs_to_what_follows() {
        let curve = Curve::new(0.0).ramp_to(100.0, 0).hold(2 * S).ramp_to(40.0, 0).hold(S);
        assert_eq!(curve.value_at(0), 100.0);
        assert_eq!(curve.value_at(2 * S - 1), 100.0);
        assert_eq!(curve.value_at(2 * S), 40.0);
        assert_eq!(curve.value_at(9 * S), 40.0);
        assert_eq!((curve.peak(), curve.end_ns(), curve.area()), (100.0, 3 * S, 240.0));
        assert_eq!(curve.next_change(0, 0), Some((0, 100)));
        assert_eq!(curve.next_change(0, 100), Some((2 * S, 40)));
        assert_eq!(curve.next_change(2 * S, 40), None);
    }

    #[test]
    fn a_curve_grows_while_it_runs() {
        let mut curve = Curve::new(0.0);
        assert_eq!((curve.next_change(0, 0), curve.time_of_area(0.5)), (None, None));
        curve.append_ramp(10.0, S);
        curve.append_hold(S);
        assert_eq!(curve.time_of_area(20.0), None);
        curve.extend_to(4 * S);
        curve.extend_to(3 * S);
        assert_eq!((curve.end_ns(), curve.area()), (4 * S, 35.0));
        curve.append_ramp(0.0, 0);
        assert_eq!(curve.next_change(2 * S, 10), Some((4 * S, 0)), "an end at zero sends all users home");
    }

    #[test]
    fn slopes_near_zero_lose_no_precision() {
        let curve = Curve::new(1000.0).ramp_to(1000.0 + 1e-9, 3600 * S);
        for k in [1.0, 999.0, 1_000_000.0, 3_599_999.0] {
            let expected_ns = (k * 1e6) as u64;
            assert!(curve.time_of_area(k).unwrap().abs_diff(expected_ns) <= 2, "arrival {k}");
        }
    }

    #[test]
    fn who_comes_after_others_have_left_is_a_new_one() {
        let curve = Curve::new(0.0)
            .ramp_to(3.0, 3 * S)
            .ramp_to(1.0, 0)
            .hold(S)
            .ramp_to(4.0, 3 * S)
            .ramp_to(5.0, 0)
            .hold(S);
        let at = |place, ns| curve.newcomer_at(place, ns);
        assert_eq!([at(0, S), at(1, 2 * S), at(0, 9 * S)], [0, 1, 0]);
        assert_eq!([at(1, 5 * S), at(2, 6 * S), at(3, 7 * S), at(4, 8 * S)], [2, 3, 4, 5]);
        assert_eq!(
            curve.newcomers(),
            6,
            "the third comes in the instant in which it is two less, and so never"
        );
        assert_eq!(Curve::new(2.0).newcomers(), 2);
    }

    fn curves() -> impl Strategy<Value = Curve> {
        let stage = (0_u32..2000, 0_u64..20 * S, any::<bool>());
        (0_u32..500, prop::collection::vec(stage, 1..8)).prop_map(|(start, stages)| {
            stages.into_iter().fold(Curve::new(f64::from(start)), |curve, (value, ns, hold)| {
                if hold { curve.hold(ns) } else { curve.ramp_to(f64::from(value) / 3.0, ns) }
            })
        })
    }

    proptest! {
        #[test]
        fn no_two_users_have_one_number(curve in curves()) {
            let (mut now_ns, mut users) = (0, curve.users_at(0));
            let mut seen: std::collections::HashSet<u64> = (0..users).map(|place| curve.newcomer_at(place, 0)).collect();
            while let Some((at_ns, next)) = curve.next_change(now_ns, users) {
                for place in users..next {
                    let number = curve.newcomer_at(place, at_ns);
                    prop_assert!(seen.insert(number) && number < curve.newcomers(), "{number}");
                }
                (now_ns, users) = (at_ns, next);
            }
            prop_assert_eq!(seen.len() as u64, curve.newcomers(), "none is left out");
        }

        #[test]
        fn the_time_of_an_area_is_its_first_instant(curve in curves(), share in 0.0..1.0_f64) {
            let area = curve.area() * share;
            if let Some(at_ns) = curve.time_of_area(area) {
                let nanosecond = (curve.peak() + 1.0) * 2e-9 + AREA_TOLERANCE;
                prop_assert!(curve.area_to(at_ns) >= area - nanosecond);
                prop_assert!(at_ns < 3 || curve.area_to(at_ns - 3) <= area + AREA_TOLERANCE);
            } else {
                prop_assert!(area > curve.area());
            }
        }

        #[test]
        fn areas_and_their_instants_are_monotone(curve in curves(), a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            let (low, high) = (a.min(b) * curve.area(), a.max(b) * curve.area());
            prop_assert!(curve.time_of_area(low) <= curve.time_of_area(high));
            let end = curve.end_ns() as f64;
            prop_assert!(curve.area_to((a.min(b) * end) as u64) <= curve.area_to((a.max(b) * end) as u64));
        }

        #[test]
        fn a_change_is_a_change_and_the_first(curve in curves(), share in 0.0..1.0_f64, probe in 0.0..1.0_f64) {
            let now_ns = (curve.end_ns() as f64 * share) as u64;
            let count = curve.users_at(now_ns);
            let until_ns = match curve.next_change(now_ns, count) {
                Some((at_ns, users)) => {
                    prop_assert!(users != count);
                    prop_assert_eq!(users, curve.users_at(at_ns));
                    at_ns
                }
                None => curve.end_ns(),
            };
            let between_ns = now_ns + ((until_ns - now_ns) as f64 * probe) as u64;
            prop_assert!(between_ns >= until_ns || curve.users_at(between_ns) == count);
        }
    }
}
