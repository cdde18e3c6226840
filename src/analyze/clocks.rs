//! What the lags of pushed messages tell of the two clocks they are taken with. A lag is the way of a message plus the offset of our clock;
//! no message comes before it is sent, so the smallest lag is the most the offset can be. How long its way was nobody knows, but a way and
//! the way back fit into the fastest opening, so the offset is not less by more than that, if that message was sent at once.

use crate::record::summary::{ClockOffset, StreamCounts, Warning};

/// The bounds; nothing without a message that says when it was sent.
pub(super) fn offset(streams: &StreamCounts) -> Option<ClockOffset> {
    let (lag_ns, opening_ns) = (streams.lag_ns_min?, streams.opening_ns_min?);
    let high = lag_ns as f64 / 1e6;
    Some(ClockOffset { low: high - opening_ns as f64 / 1e6, high })
}

/// A warning where the clocks cannot be in step.
pub(super) fn differ(streams: &StreamCounts) -> Option<Warning> {
    let ClockOffset { low, high } = offset(streams)?;
    let text = if high < 0.0 {
        let early = streams.early;
        format!(
            "our clock is behind the target's by {:.3} ms or more: {early} pushed messages came before they say they were sent, and lags are too short by that much",
            -high
        )
    } else if low > 0.0 {
        format!(
            "our clock is ahead of the target's by {low:.3} ms or more, or it holds back every message that says when it was sent: lags are too long by that much"
        )
    } else {
        return None;
    };
    let remedy = "keep both clocks in step (chrony, ntpd), or run where there is one".to_owned();
    Some(Warning { code: "clocks_differ".to_owned(), text, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lag_ms: i64, opening_ms: u64) -> StreamCounts {
        StreamCounts {
            early: u64::from(lag_ms < 0),
            lag_ns_min: Some(lag_ms * 1_000_000),
            opening_ns_min: Some(opening_ms * 1_000_000),
            ..StreamCounts::default()
        }
    }

    #[test]
    fn the_offset_lies_within_its_bounds_whatever_it_is() {
        // (offset of our clock, way of the fastest message, round trip of the fastest opening)
        for (offset_ms, way_ms, opening_ms) in [(0, 1, 3), (40, 2, 5), (-40, 2, 5), (3, 3, 3), (0, 0, 1)] {
            let bounds = offset(&seen(offset_ms + way_ms, opening_ms)).expect("bounds");
            assert!(bounds.low <= offset_ms as f64 && offset_ms as f64 <= bounds.high, "{bounds:?}");
        }
        assert_eq!(offset(&StreamCounts::default()), None);
    }

    #[test]
    fn clocks_that_cannot_be_in_step_are_warned_of() {
        assert_eq!(differ(&seen(2, 3)), None);
        assert!(differ(&seen(-40, 3)).is_some_and(|warning| {
            warning.text.starts_with("our clock is behind the target's by 40.000 ms")
        }));
        assert!(differ(&seen(40, 3)).is_some_and(|warning| {
            warning.text.starts_with("our clock is ahead of the target's by 37.000 ms")
        }));
    }
}
