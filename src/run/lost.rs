//! What is known of work that nobody can report any more.

use crate::clock::Nanos;
use crate::load::arrivals::Schedule;
use crate::load::share::Share;
use crate::record::summary::Counts;
use crate::scenario::plan::{Executor, LoadPart, Plan};
use std::ops::Range;

/// A shard that ended without a word took with it what it had planned: whatever nobody accounts for is lost.
pub(super) fn count_lost(counts: &mut Counts) {
    counts.lost += counts.planned.saturating_sub(counts.ended());
}

/// Arrivals that the schedule has for a member of a crew in a span of the run: those of an agent that can say nothing of them any more. What
/// arrives where a search has steered to is known to the members alone, and users of a closed load arrive when they are ready.
///
/// Of agents of so many shards each, since slots are divided among all shards.
pub(super) fn arrivals_of(
    plan: &Plan,
    member: usize,
    (agents, shards): (u32, u32),
    span_ns: Range<Nanos>,
) -> u64 {
    let Some(share) = u32::try_from(member).ok().and_then(|index| Share::new(index, agents)) else {
        return 0;
    };
    (0..shards)
        .filter_map(|shard| share.of(shard, shards))
        .map(|share| arrivals_at(plan, share, &span_ns))
        .sum()
}

fn arrivals_at(plan: &Plan, share: Share, span_ns: &Range<Nanos>) -> u64 {
    let of_part = |(index, part): (usize, &LoadPart)| {
        let Executor::Open { curve, open, .. } = &part.executor else { return 0 };
        // Who has no slot has no arrivals either.
        let Some(share) = share.among(open.max_in_flight) else { return 0 };
        let schedule = Schedule::new(open.arrivals, plan.seed, index as u64, share);
        let until = |at_ns: Nanos| {
            schedule.planned(curve, at_ns.saturating_sub(part.start.as_nanos() as Nanos).min(curve.end_ns()))
        };
        until(span_ns.end).saturating_sub(until(span_ns.start))
    };
    plan.load.iter().enumerate().map(of_part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::NANOS_PER_S;

    #[test]
    fn what_no_shard_accounts_for_is_lost() {
        let mut counts =
            Counts { planned: 100, completed: 60, dropped: 5, interrupted: 5, ..Counts::default() };
        count_lost(&mut counts);
        assert_eq!(counts.lost, 30);
        count_lost(&mut counts);
        assert_eq!(counts.lost, 30, "counting twice is counting once");
    }

    #[test]
    fn what_a_silent_agent_was_to_send_is_known_from_the_plan() {
        let text = "plimsoll: 1\nname: open\ntarget: {http: \"http://127.0.0.1:1\"}\nscenarios: {read: {steps: [{get: /}]}}\nload:\n  - {name: a, run: read, executor: open, stages: [{to: 200/s, over: 0s}, {hold: 10s}]}\n  - {name: b, run: read, executor: open, arrivals: poisson, start: 5s, stages: [{to: 100/s, over: 0s}, {hold: 10s}]}\n  - {name: c, run: read, executor: closed, stages: [{to: 9, over: 0s}, {hold: 10s}]}\n";
        let none = |_: &str| None;
        let plan = crate::scenario::load("open.yaml", text, &crate::scenario::Overrides::none(&none));
        let plan = plan.map_err(|problems| problems.lines()).expect("a plan");
        let s = NANOS_PER_S;
        assert_eq!(arrivals_of(&plan, 1, (2, 1), 2 * s..5 * s), 300, "half of 200/s for 3 s");
        let all = |span: Range<Nanos>| {
            (0..3).map(|agent| arrivals_of(&plan, agent, (3, 2), span.clone())).sum::<u64>()
        };
        let whole = arrivals_of(&plan, 0, (1, 1), 0..99 * s);
        assert_eq!(all(0..7 * s) + all(7 * s..99 * s), whole, "shares and spans add up");
        assert!((2_900..3_100).contains(&whole), "{whole}");

        let few = text.replace(
            "executor: open, stages: [{to: 200/s",
            "executor: open, max_in_flight: 2, stages: [{to: 200/s",
        );
        let plan = crate::scenario::load("few.yaml", &few, &crate::scenario::Overrides::none(&none));
        let plan = plan.map_err(|problems| problems.lines()).expect("a plan");
        let of_four = [0, 1, 2, 3].map(|agent| arrivals_of(&plan, agent, (4, 1), 2 * s..5 * s));
        assert_eq!(of_four, [300, 300, 0, 0], "two slots, so two agents that have arrivals");
        let three = few.replace("max_in_flight: 2", "max_in_flight: 3");
        let plan = crate::scenario::load("three.yaml", &three, &crate::scenario::Overrides::none(&none));
        let plan = plan.map_err(|problems| problems.lines()).expect("a plan");
        let of_two = [0, 1].map(|agent| arrivals_of(&plan, agent, (2, 2), 2 * s..5 * s));
        assert_eq!(of_two, [400, 200], "three slots for four shards, of which the first agent has two");
    }
}
