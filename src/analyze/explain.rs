//! The sentences that say what was found, so that a reader can act on them and knows what they rest on.

use super::suspects::{CAUSE_SHARE_MIN, FLAT_HOLD, Step, Suspect};
use super::wall::Unit;
use crate::fit::evidence::EXTRAPOLATED;
use crate::record::summary::{Level, LevelResource, NextWall, Rung};
use crate::scenario::plan::LoadUnit;

/// `1,520 users`, `37.5 iterations/s`.
pub(super) fn load(at: f64, unit: &Unit) -> String {
    match unit.of {
        LoadUnit::Users => format!("{} users", number(at, unit)),
        LoadUnit::RatePerS => format!("{} iterations/s", number(at, unit)),
    }
}

fn number(at: f64, unit: &Unit) -> String {
    let text = match unit.of {
        LoadUnit::Users => format!("{at:.0}"),
        LoadUnit::RatePerS => figure(at),
    };
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::with_capacity(text.len() + whole / 3);
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && place < whole && (whole - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three figures, without trailing zeros.
pub(super) fn figure(value: f64) -> String {
    let decimals = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn bytes(value: f64) -> String {
    format!("{} MiB", figure(value / f64::from(1 << 20)))
}

/// `10/10 in use, 21 waiting`.
fn state(suspect: &Suspect<'_>) -> String {
    let resource = suspect.resource;
    // A mean of 9.98 connections of 10 is a full pool to a reader.
    let shown = |value: f64| match resource.kind.as_str() {
        "memory" => bytes(value),
        _ => figure((value * 10.0).round() / 10.0),
    };
    let limit =
        resource.limit.map_or_else(|| ", limit not told".to_owned(), |limit| format!("/{}", shown(limit)));
    let waiting = resource.waiting.map_or(String::new(), |waiting| format!(", {waiting:.0} waiting"));
    format!("{}{limit}{waiting}", shown(resource.used))
}

/// Since when; `rung` is where its onset was seen.
fn from(suspect: &Suspect<'_>, rung: Option<&Rung>, unit: &Unit) -> String {
    let interval = |rung: &Rung| match rung.interval {
        Some([low, high]) => format!(" [{}..{}]", number(low, unit), number(high, unit)),
        None => String::new(),
    };
    match (rung.and_then(|rung| Some((rung, rung.at?))), suspect.resource.utilization) {
        (Some((rung, at)), _) => format!("saturates first at {}{}", load(at, unit), interval(rung)),
        (None, _) if suspect.full => "is full at every level measured".to_owned(),
        (None, Some(ratio)) => {
            format!("is not full on average ({}), but often enough for a queue", percent(ratio))
        }
        (None, None) => "is what requests wait for first".to_owned(),
    }
}

fn compared(step: &Step<'_>, unit: &Unit) -> String {
    let added = figure(step.added_s * 1e3);
    match step.base {
        Some(base) => format!(
            "{added} ms that a request takes longer at {} than at {}",
            load(step.knee.level, unit),
            load(base.level, unit)
        ),
        None => {
            format!("{added} ms that a request takes at {}, the lowest level", load(step.knee.level, unit))
        }
    }
}

/// The line that says it all: who, since when, with what evidence, how surely, and what comes next.
pub(super) fn named(
    suspect: &Suspect<'_>,
    victims: &[Suspect<'_>],
    step: &Step<'_>,
    unit: &Unit,
    probability: f64,
    rung: Option<&Rung>,
    next: Option<&NextWall>,
) -> String {
    let share = percent(suspect.share);
    let refuses = if suspect.refused.is_some() { " and refuses" } else { "" };
    let begins = from(suspect, rung, unit) + refuses;
    let mut text = format!("{} ({}) {begins}, ", suspect.name, state(suspect));
    text += &match suspect.inferred {
        _ if fails(suspect) => failing(suspect, step, unit),
        false => format!("explains {share} of the {}", compared(step, unit)),
        true => format!(
            "tells no waiting times but is left with {share} of the {}, as nothing else is full",
            compared(step, unit)
        ),
    };
    text += &format!(", P = {probability:.2}");
    text += &match suspect.growth.filter(|_| suspect.resource.kind == "pool") {
        Some(growth) if growth <= FLAT_HOLD => format!("; hold time flat ({growth:.2}x): its size binds"),
        Some(growth) => format!("; hold time grew ({growth:.2}x): what it guards contributes"),
        None => String::new(),
    };
    for victim in victims.iter().filter(|victim| victim.full) {
        text += &format!("; {} is full too, but only because {}", victim.name, why_victim(victim));
    }
    if let Some(wall) = next {
        let class = match wall.evidence.as_str() {
            EXTRAPOLATED => format!("{EXTRAPOLATED} {:.1}x", wall.extrapolated),
            class => class.to_owned(),
        };
        text += &format!("; next: {} at ~{} ({class})", wall.resource, load(wall.at, unit));
    }
    text + "."
}

/// It makes requests fail rather than wait.
fn fails(suspect: &Suspect<'_>) -> bool {
    suspect.share.is_nan()
}

fn failing(suspect: &Suspect<'_>, step: &Step<'_>, unit: &Unit) -> String {
    let at = load(step.knee.level, unit);
    match suspect.refused {
        Some(share) => format!("explains {} of the failures at {at}, which take no longer", percent(share)),
        None => format!("and at {at} requests begin to fail"),
    }
}

/// `found` is how likely it is one of them at all.
pub(super) fn set(suspects: &[&Suspect<'_>], found: f64, step: &Step<'_>, unit: &Unit) -> String {
    let mut each: Vec<String> = suspects
        .iter()
        .map(|suspect| {
            let share = match suspect.refused {
                Some(refused) => format!("{} of the failures", percent(refused)),
                None if fails(suspect) => "at its limit".to_owned(),
                None => format!("{} of the added time", percent(suspect.share)),
            };
            format!("{} ({}, {share})", suspect.name, state(suspect))
        })
        .collect();
    if found < 0.95 {
        each.push(format!("something that is not observed ({})", percent(1.0 - found)));
    }
    let of = match suspects.iter().any(|suspect| fails(suspect)) {
        true => format!("failures at {}", load(step.knee.level, unit)),
        false => compared(step, unit),
    };
    format!(
        "{} cannot be told apart as the cause of the {of}; widen one of them and search again.",
        each.join(" and ")
    )
}

pub(super) fn blurred(levels: &[f64], unit: &Unit) -> String {
    let each: Vec<String> = levels.iter().map(|&level| load(level, unit)).collect();
    format!(
        "cannot tell: what failed was {}, where throughput, response time and think time contradict each other (N = X(R + Z)). Hold the levels longer.",
        each.join(", ")
    )
}

pub(super) fn elsewhere(step: &Step<'_>, unit: &Unit) -> String {
    format!(
        "cannot tell: there are readings, but none lies in any level, so their clock and ours disagree or the probes fell silent; nothing explains the {}.",
        compared(step, unit)
    )
}

pub(super) fn untold(suspects: &[&Suspect<'_>], untold: &[&str], step: &Step<'_>, unit: &Unit) -> String {
    let names: Vec<&str> = suspects.iter().map(|suspect| suspect.name).collect();
    format!(
        "cannot tell: {} was full and tells no waiting times, and {} told nothing at {}, so it is not known what is left of the {}. Look why the probe failed, and search again.",
        names.join(" and "),
        untold.join(" and "),
        load(step.knee.level, unit),
        compared(step, unit)
    )
}

/// `readings` of one resource, too few to name it by.
pub(super) fn thin(name: &str, readings: usize, step: &Step<'_>, unit: &Unit) -> String {
    let (of, tell) = if readings == 1 { ("reading", "tells") } else { ("readings", "tell") };
    format!(
        "{readings} {of} {tell} of {name} at {}, too few to say that it was no chance: hold the levels longer, or read it more often.",
        load(step.knee.level, unit)
    )
}

pub(super) fn unsteady(suspects: &[&Suspect<'_>], found: f64, step: &Step<'_>, unit: &Unit) -> String {
    let names: Vec<&str> = suspects.iter().map(|suspect| suspect.name).collect();
    format!(
        "cannot tell: the readings point at {} as the cause of the {}, but in {} of their redraws nothing observed explains it. Hold the levels longer.",
        names.join(" and "),
        compared(step, unit),
        percent(1.0 - found)
    )
}

pub(super) fn all_good(levels: &[Level], unit: &Unit) -> String {
    let highest = levels.last().map_or(0.0, |level| level.level);
    format!("nothing gave way: every level up to {} met its conditions.", load(highest, unit))
}

pub(super) fn no_growth(step: &Step<'_>, failing: bool, unit: &Unit) -> String {
    let at = load(step.knee.level, unit);
    let by = step.knee.failed_by.as_deref().unwrap_or("its conditions");
    if failing {
        let errors = percent(step.knee.error_ratio);
        format!(
            "{at} failed by `{by}`: {errors} of the requests fail without taking longer, so something refuses them rather than queueing them, \
             and errors alone do not say what; the failures listed by endpoint do."
        )
    } else {
        format!(
            "{at} failed by `{by}`, but the mean response time did not grow, so no queue was building: rare slow requests or noise. Hold the \
             levels longer to tell."
        )
    }
}

fn why_victim(victim: &Suspect<'_>) -> String {
    let growth = victim.growth.unwrap_or(f64::NAN);
    if victim.is_held_longer() {
        format!("its slots are held {growth:.1}x as long as at quiet levels")
    } else if victim.is_dearer() {
        format!(
            "a request takes {growth:.1}x as much of it as at quiet levels (collections, retries, a cache that overflows)"
        )
    } else {
        "what it guards had stopped giving more while half of its slots were still free".to_owned()
    }
}

pub(super) fn victim_alone(victim: &Suspect<'_>, step: &Step<'_>, unit: &Unit) -> String {
    format!(
        "{} is full ({}), but only because {}: it is the victim of {}, and nothing observed explains the {}. Observe that and search again; more of \
         {} would move the queue, not remove it.",
        victim.name,
        state(victim),
        why_victim(victim),
        if victim.is_dearer() {
            "what makes requests dearer"
        } else {
            "what it guards (a processor, locks, a disk)"
        },
        compared(step, unit),
        victim.name
    )
}

/// The fullest resource, where its queue, if it has one, is not counted.
fn nearest(step: &Step<'_>) -> String {
    let told = |(name, resource): (&String, &LevelResource)| {
        Some((name.clone(), resource.utilization?, resource.waiting.is_none() && resource.wait_ms.is_none()))
    };
    let fullest = step.knee.resources.iter().filter_map(told).max_by(|a, b| a.1.total_cmp(&b.1));
    match fullest {
        Some((name, utilization, silent)) => {
            let queue = if silent { "; what waits for it is not told" } else { "" };
            format!(" (the nearest to full is {name} at {}{queue})", percent(utilization))
        }
        None => String::new(),
    }
}

/// Nothing that was observed is believed.
pub(super) fn all_left_out<'n>(
    names: impl Iterator<Item = &'n String>,
    step: &Step<'_>,
    unit: &Unit,
) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    format!(
        "cannot tell: all that was observed of the target ({}) contradicts itself and was left out (see `checks`), so nothing explains the {}.",
        names.join(", "),
        compared(step, unit)
    )
}

pub(super) fn unexplained(levels: &[Level], causes: &[&Suspect<'_>], step: &Step<'_>, unit: &Unit) -> String {
    let compared = compared(step, unit);
    if levels.iter().all(|level| level.resources.is_empty()) {
        return format!(
            "no resource of the target was observed, so nothing can explain the {compared}; add an `observe` section."
        );
    }
    if step.knee.resources.is_empty() {
        return format!(
            "cannot tell: the probes told nothing at {}, so nothing explains the {compared}.",
            load(step.knee.level, unit)
        );
    }
    match causes.first() {
        None => format!(
            "none of the observed resources was full at {}, so something that is not observed takes the {compared}{}.",
            load(step.knee.level, unit),
            nearest(step)
        ),
        Some(cause) if cause.share >= CAUSE_SHARE_MIN => format!(
            "cannot tell: {} was full ({}), and waiting for it explains {} of the {compared}, but {}. Hold the levels longer.",
            cause.name,
            state(cause),
            percent(cause.share),
            doubt(cause)
        ),
        Some(cause) => format!(
            "{} was full ({}), but waiting for it explains only {} of the {compared}; the rest is spent in something that is not observed.",
            cause.name,
            state(cause),
            percent(cause.share)
        ),
    }
}

/// Why who was full and waited for is not named.
fn doubt(cause: &Suspect<'_>) -> &'static str {
    if cause.harmless {
        "nothing shows what that does to requests"
    } else if cause.resource.kind == "pool" {
        "how long its slots are held at quiet levels is not known well enough to tell whether its size binds"
    } else {
        "what else was full, or how few requests succeeded, leaves open whether it was the first"
    }
}
