//! What an answer is worth, and the table of all of them.

use super::cases::{Case, Category};
use plimsoll::record::summary::BottleneckStatus;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Candidates of a set that still says something.
const SET_MAX: usize = 2;

/// The rule is strict: right is only the one name that is true. A set of at most two with the truth in it is unsure, and an answer that names
/// nobody is abstaining; neither is right. All else is wrong, a larger set or one without the truth too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    Right,
    Unsure,
    Abstained,
    Wrong,
}

impl Case {
    /// Whether this resource may be named.
    fn is_true(&self, resource: &str) -> bool {
        let system = &self.system;
        match self.category {
            Category::Uninstrumented | Category::Filling | Category::Below => false,
            Category::NearTie | Category::Early => {
                [system.first, system.second].iter().any(|role| role.resource() == resource)
            }
            _ => system.first.resource() == resource,
        }
    }

    pub(crate) fn grade(&self) -> Grade {
        let Some(said) = &self.said else { return Grade::Abstained };
        match said.status {
            BottleneckStatus::Named => {
                let name = said.resource.as_deref().unwrap_or_default();
                if self.is_true(name) { Grade::Right } else { Grade::Wrong }
            }
            BottleneckStatus::Set => {
                let holds = said.candidates.iter().any(|candidate| self.is_true(&candidate.resource));
                let small = said.candidates.len() <= SET_MAX;
                match (self.category, holds && small) {
                    // Either may be named, so both may.
                    (Category::NearTie | Category::Early, true) => Grade::Right,
                    (_, true) => Grade::Unsure,
                    // With instruments that fail, doubt is the answer.
                    (
                        Category::BadProbe(_)
                        | Category::Uninstrumented
                        | Category::Filling
                        | Category::Below,
                        false,
                    ) => Grade::Abstained,
                    (_, false) => Grade::Wrong,
                }
            }
            BottleneckStatus::Uninstrumented | BottleneckStatus::None => Grade::Abstained,
        }
    }

    /// |onset/N* − 1| of a right answer that gives an onset.
    fn onset_error(&self) -> Option<f64> {
        let onset = self.said.as_ref()?.onset?;
        (self.grade() == Grade::Right).then(|| (onset / self.system.saturation() - 1.0).abs())
    }

    /// What went on, in some lines.
    pub(crate) fn story(&self) -> String {
        let system = &self.system;
        let mut story = format!(
            "{} {:?} {:?}: first {:?}, then {:?} at {:.2} x; N* {:.1}, ceiling {:.1}/s, alone {:.1} ms, SLO {:.1} ms, {:?}, retries {}, patience {:.1} s\n",
            self.id,
            self.category,
            self.grade(),
            system.first,
            system.second,
            system.margin,
            system.saturation(),
            system.ceiling_per_s,
            system.alone_s() * 1e3,
            self.slo_s * 1e3,
            system.load,
            system.retries,
            system.patience_s,
        );
        for part in &system.parts {
            let _ = writeln!(
                story,
                "  {:?}: {:.0} servers ({:.2} used by others, shared {}), demand {:.2} ms, ceiling {:.1}/s, time-out {:?}",
                part.role,
                part.servers,
                part.background,
                part.shared,
                part.demand_s * 1e3,
                part.ceiling_per_s(),
                part.timeout_s,
            );
        }
        if let Some(heap) = &system.heap {
            let _ = writeln!(story, "  {heap:?}");
        }
        let _ = writeln!(story, "  steps {:?}", system.steps);
        for level in &self.levels {
            let _ = write!(
                story,
                "  level {:.1} {}: {} requests, {} failed, mean {:.1} ms, p99 {:.1} ms;",
                level.mark.level,
                if level.mark.good { "good" } else { "bad" },
                level.requests,
                level.failed,
                level.response_ms.mean,
                level.response_ms.p99,
            );
            for (resource, (used, waiting, limit)) in self.means(level.mark.from_s, level.mark.to_s) {
                let _ = write!(story, " {resource} {used:.3}/{limit:?} waiting {waiting:.1};");
            }
            story.push('\n');
        }
        match &self.said {
            None => story.push_str("  said: nothing\n"),
            Some(said) => {
                let names: Vec<String> = said
                    .candidates
                    .iter()
                    .map(|one| {
                        format!("{} {:?} {:?}", one.resource, one.probability, one.share_of_added_latency)
                    })
                    .collect();
                let _ = writeln!(
                    story,
                    "  said: {:?} {:?} onset {:?} share {:?} p {:?}; candidates {names:?}; {}",
                    said.status,
                    said.resource,
                    said.onset,
                    said.share_of_added_latency,
                    said.probability,
                    said.explanation,
                );
            }
        }
        story
    }

    fn means(&self, from_s: f64, to_s: f64) -> BTreeMap<&str, (f64, f64, Option<f64>)> {
        let mut sums: BTreeMap<&str, (f64, f64, f64, Option<f64>)> = BTreeMap::new();
        for row in self.readings.iter().filter(|row| row.t_s > from_s && row.t_s <= to_s) {
            let sum = sums.entry(&row.resource).or_default();
            sum.0 += row.used;
            sum.1 += row.waiting.unwrap_or(0.0);
            sum.2 += 1.0;
            sum.3 = row.limit;
        }
        sums.into_iter()
            .map(|(name, (used, waiting, n, limit))| (name, (used / n, waiting / n, limit)))
            .collect()
    }
}

/// Cases of one line of the table.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub systems: usize,
    pub right: usize,
    pub unsure: usize,
    pub abstained: usize,
    pub wrong: usize,
    onset_errors: Vec<f64>,
}

impl Line {
    pub(crate) fn add(&mut self, case: &Case) {
        self.systems += 1;
        match case.grade() {
            Grade::Right => self.right += 1,
            Grade::Unsure => self.unsure += 1,
            Grade::Abstained => self.abstained += 1,
            Grade::Wrong => self.wrong += 1,
        }
        self.onset_errors.extend(case.onset_error());
    }

    pub(crate) fn of<'c>(cases: impl IntoIterator<Item = &'c Case>) -> Self {
        let mut line = Self::default();
        cases.into_iter().for_each(|case| line.add(case));
        line.onset_errors.sort_unstable_by(f64::total_cmp);
        line
    }

    fn onset(&self, quantile: f64) -> String {
        let count = self.onset_errors.len();
        if count == 0 {
            return "–".to_owned();
        }
        let index = ((count as f64 * quantile).ceil() as usize).clamp(1, count) - 1;
        format!("{:.1} %", self.onset_errors[index] * 100.0)
    }

    fn row(&self, name: &str) -> String {
        let Self { systems, right, unsure, abstained, wrong, .. } = self;
        format!(
            "| {name} | {systems} | {right} | {unsure} | {abstained} | {wrong} | {} | {} |\n",
            self.onset(0.5),
            self.onset(0.9)
        )
    }
}

fn title(category: Category) -> String {
    match category {
        Category::Clear(role) => role.resource().to_owned(),
        Category::NearTie => "two within a tenth".to_owned(),
        Category::Early => "bound broken early".to_owned(),
        Category::Below => "nothing yet".to_owned(),
        Category::Uninstrumented => "uninstrumented".to_owned(),
        Category::Filling => "uninstrumented, memory fills".to_owned(),
        Category::BadProbe(fault) => format!("bad probe: {fault:?}"),
    }
}

/// The table as Markdown.
pub(crate) fn table(cases: &[Case]) -> String {
    let mut table = String::from(
        "| first to give way | systems | right | unsure | abstained | wrong | onset off, median | p90 |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut from = 0;
    while from < cases.len() {
        let category = cases[from].category;
        let count = cases[from..].iter().take_while(|case| case.category == category).count();
        table.push_str(&Line::of(&cases[from..from + count]).row(&title(category)));
        from += count;
    }
    let clear = cases.iter().filter(|case| matches!(case.category, Category::Clear(_)));
    table.push_str(&Line::of(clear).row("all with instruments"));
    table
}
