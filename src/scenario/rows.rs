//! Rows of a `take: unique` table go to one user only, whichever load part the user is of: each part that reads the table begins where the
//! users of the parts before it end.

use super::document::Span;
use super::plan::{DataTable, Executor, Journey, Lifetime, LoadPart, LoadUnit, Take};
use super::problem::Sink;
use crate::load::arrivals::Schedule;
use crate::load::share::Share;
use std::collections::BTreeSet;

/// Sets [`DataTable::first_rows`]. `reads` has the tables each journey reads, `seed` is the run's, `at` is where the tables are written.
pub(super) fn deal(
    tables: &mut [DataTable],
    load: &[LoadPart],
    journeys: &[Journey],
    reads: &[BTreeSet<u16>],
    (seed, at): (u64, Span),
    sink: &mut Sink,
) {
    for (index, table) in tables.iter_mut().enumerate().filter(|(_, table)| table.take == Take::Unique) {
        let is_read = |part: &LoadPart| {
            part.mix.iter().any(|(journey, _)| {
                reads
                    .get(usize::from(*journey))
                    .is_some_and(|tables| tables.iter().any(|&read| usize::from(read) == index))
            })
        };
        let mut first_rows = vec![0; load.len()];
        let mut next = 0;
        let mut endless = Vec::new();
        for (number, part) in load.iter().enumerate().filter(|(_, part)| is_read(part)) {
            match users_ever((number, part), journeys, seed) {
                Some(users) => {
                    first_rows[number] = next;
                    next += users;
                }
                // Whoever has no last user comes after all who have one.
                None => endless.push(number),
            }
        }
        if let [first, second, ..] = endless[..] {
            sink.error(
                at,
                format!(
                    "`{}` is `take: unique`, and both {} and {} read it, of which nobody can say beforehand how many users they will have",
                    table.name, load[first].name, load[second].name
                ),
                "give each of them a table of its own, or `take: random`",
            );
        }
        if let Some(&number) = endless.first() {
            first_rows[number] = next;
        }
        table.first_rows = first_rows;
    }
}

/// How many users a part has over its whole life; `None` where that depends on the target or the search.
fn users_ever((number, part): (usize, &LoadPart), journeys: &[Journey], seed: u64) -> Option<u64> {
    let stays = |&(journey, _): &(u16, u32)| {
        journeys.get(usize::from(journey)).is_some_and(|journey| journey.lifetime == Lifetime::Loop)
    };
    match &part.executor {
        Executor::Open { curve, open, .. } => {
            let schedule = Schedule::new(open.arrivals, seed, number as u64, Share::WHOLE);
            Some(schedule.planned(curve, u64::MAX))
        }
        Executor::Closed { curve, .. } if part.mix.iter().all(stays) => Some(curve.newcomers()),
        Executor::Step { of: LoadUnit::Users, levels, .. }
            if part.mix.iter().all(stays) && levels.is_sorted() =>
        {
            Some(levels.last().copied().unwrap_or(0.0).ceil() as u64)
        }
        Executor::Closed { .. } | Executor::Step { .. } | Executor::Breakpoint { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, load};

    fn first_rows(parts: &str) -> Result<Vec<u64>, String> {
        let text = format!(
            "plimsoll: 1\nname: rows\ntarget: {{http: \"http://127.0.0.1:1\"}}\ndata: {{who: {{values: [a, b], take: unique}}, other: {{values: [c]}}}}\nscenarios:\n  reads: {{steps: [{{get: \"/${{data.who}}\", name: r}}]}}\n  once: {{lifetime: once, steps: [{{call: reads}}]}}\n  not: {{steps: [{{get: \"/${{data.other}}\", name: n}}]}}\nload:\n{parts}"
        );
        let env = |_: &str| None;
        let plan = load("rows.yaml", &text, &Overrides::none(&env))
            .map_err(|problems| problems.lines().join("\n"))?;
        assert!(plan.data[1].first_rows.is_empty(), "only unique tables are dealt");
        Ok(plan.data[0].first_rows.clone())
    }

    const SEARCH: &str = "  - {name: s, run: reads, executor: breakpoint, of: users, from: 10, to: 20, precision: 5%, window: 4s, fail_when: [p99(http) > 1s]}\n";

    #[test]
    fn parts_begin_where_those_before_them_end_and_the_endless_one_comes_last() {
        let part = |name: &str, run: &str, load: &str| format!("  - {{name: {name}, run: {run}, {load}}}\n");
        let parts = [
            part("a", "once", "executor: closed, stages: [{to: 3, over: 0s}, {hold: 1s}]"),
            part(
                "b",
                "reads",
                "executor: closed, stages: [{to: 5, over: 1s}, {hold: 1s}, {to: 0, over: 1s}]",
            ),
            part(
                "p",
                "reads",
                "executor: open, arrivals: poisson, stages: [{to: 20/s, over: 0s}, {hold: 2s}]",
            ),
            part("c", "not", "executor: closed, stages: [{to: 9, over: 0s}, {hold: 1s}]"),
            part("d", "{reads: 1, not: 1}", "executor: open, stages: [{to: 20/s, over: 0s}, {hold: 2s}]"),
        ];
        let first = first_rows(&parts.concat()).expect("rows");
        let [a, b, p, c, d] = first[..] else { panic!("{first:?}") };
        assert_eq!((b, p, c, a - d), (0, 5, 0, 40));
        assert_eq!(d - p, 38, "as many as this seed's process brings, which is not 40");
    }

    #[test]
    fn two_without_an_end_cannot_share_a_table() {
        let part = |name: &str, run: &str| {
            format!(
                "  - {{name: {name}, run: {run}, executor: closed, stages: [{{to: 5, over: 1s}}, {{to: 0, over: 1s}}, {{to: 5, over: 1s}}]}}\n"
            )
        };
        let problem = first_rows(&format!("{}{SEARCH}", part("w", "once"))).expect_err("two of them");
        assert!(problem.contains("both w and s read it"), "{problem}");
        assert_eq!(first_rows(&part("w", "once")), Ok(vec![0]), "one alone may come and go");
        let with_known = first_rows(&format!("{}{}", part("w", "once"), part("again", "reads")));
        assert_eq!(with_known, Ok(vec![10, 0]), "users who come when others have left are new ones");
    }
}
