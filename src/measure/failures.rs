//! What failed and how often, by the text that says why. Texts may hold anything, so only so many are kept of a kind: those first in
//! their order, and a number for the others. Whichever way parts are merged the same ones are left with the same counts: what is among the
//! first of the whole is among the first of each part that has it.

use super::sample::Outcome;
use crate::endpoint::EndpointId;
use crate::limits::FAILURE_TEXTS_MAX;
use crate::record::summary::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failures {
    by_kind: BTreeMap<(EndpointId, Outcome), Texts>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Texts {
    known: BTreeMap<Box<str>, u64>,
    /// Failures whose texts are not among the known.
    others: u64,
}

/// The text under which failures beyond the bound are listed.
const OTHER_FAILURES: &str = "other failures of this kind";

impl Texts {
    fn add(&mut self, text: &str, count: u64) {
        if let Some(known) = self.known.get_mut(text) {
            *known += count;
            return;
        }
        self.known.insert(text.into(), count);
        if self.known.len() > FAILURE_TEXTS_MAX {
            self.others += self.known.pop_last().map_or(0, |(_, count)| count);
        }
    }
}

impl Failures {
    pub fn add(&mut self, endpoint: EndpointId, outcome: Outcome, text: &str) {
        self.by_kind.entry((endpoint, outcome)).or_default().add(text, 1);
    }

    pub fn merge(&mut self, other: &Self) {
        for (kind, theirs) in &other.by_kind {
            let ours = self.by_kind.entry(*kind).or_default();
            for (text, count) in &theirs.known {
                ours.add(text, *count);
            }
            ours.others += theirs.others;
        }
    }

    /// Most frequent first; the failures whose texts were not kept are summed up, a line for each kind.
    pub fn list(&self, name_of: impl Fn(EndpointId) -> String) -> Vec<Failure> {
        let mut list = Vec::new();
        for ((endpoint, outcome), texts) in &self.by_kind {
            let known = texts.known.iter().map(|(text, count)| (&**text, *count));
            let others = Some((OTHER_FAILURES, texts.others)).filter(|(_, count)| *count > 0);
            list.extend(known.chain(others).map(|(text, count)| Failure {
                endpoint: name_of(*endpoint),
                kind: outcome.name().into(),
                text: text.to_owned(),
                count,
            }));
        }
        list.sort_by(|a, b| {
            (b.count, &a.endpoint, &a.kind, &a.text).cmp(&(a.count, &b.endpoint, &b.kind, &b.text))
        });
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn failures_beyond_the_bound_are_summed_not_lost() {
        let mut failures = Failures::default();
        let count = 3 * FAILURE_TEXTS_MAX;
        for n in 0..count {
            failures.add(0, Outcome::Connect, &format!("port {n}"));
        }
        failures.add(1, Outcome::Status, "503");
        let list = failures.list(|id| format!("endpoint {id}"));
        assert_eq!(list.iter().map(|failure| failure.count).sum::<u64>(), count as u64 + 1);
        assert_eq!(list.len(), FAILURE_TEXTS_MAX + 2, "one line for all others of the kind");
        assert_eq!((list[0].text.as_str(), list[0].kind.as_str()), (OTHER_FAILURES, "connect"));
    }

    fn of(texts: &[u8]) -> Failures {
        let mut failures = Failures::default();
        for text in texts {
            failures.add(0, Outcome::Check, &text.to_string());
        }
        failures
    }

    proptest! {
        /// However the failures were spread over seconds, shards and agents, and in whatever order these are merged.
        #[test]
        fn the_whole_is_the_sum_of_its_parts(all in prop::collection::vec(0u8..120, 0..400), cuts in (0usize..400, 0usize..400)) {
            let (a, b) = (cuts.0.min(cuts.1).min(all.len()), cuts.0.max(cuts.1).min(all.len()));
            let parts = [of(&all[..a]), of(&all[a..b]), of(&all[b..])];
            let mut forwards = Failures::default();
            parts.iter().for_each(|part| forwards.merge(part));
            let mut backwards = parts[2].clone();
            let mut rest = parts[1].clone();
            rest.merge(&parts[0]);
            backwards.merge(&rest);
            prop_assert_eq!(&forwards, &backwards);
            prop_assert_eq!(forwards, of(&all));
        }
    }
}
