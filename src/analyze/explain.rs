//! The sentences that say what was found, so that a reader can act on them and knows what they rest on.

use super::attribute::{FLAT_HOLD, Step, Suspect};
use super::next::Unit;
use crate::record::summary::{Level, LevelResource};
use crate::scenario::plan::LoadUnit;

/// `520 users`, `37.5 iterations/s`.
pub(super) fn load(at: f64, unit: &Unit) -> String {
    match unit.of {
        LoadUnit::Users => format!("{at:.0} users"),
        LoadUnit::RatePerS => format!("{} iterations/s", figure(at)),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three figures, without trailing zeros.
fn figure(value: f64) -> String {
    let decimals = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn bytes(value: f64) -> String {
    format!("{} MiB", figure(value / f64::from(1 << 20)))
}

/// `10 of 10 in use, 21 waiting`.
fn state(suspect: &Suspect<'_>) -> String {
    let shown = |value: f64| if suspect.resource.kind == "memory" { bytes(value) } else { figure(value) };
    let limit = suspect.resource.limit.map_or(String::new(), |limit| format!(" of {}", shown(limit)));
    let waiting =
        suspect.resource.waiting.map_or(String::new(), |waiting| format!(", {} waiting", figure(waiting)));
    format!("{}{limit} in use{waiting}", shown(suspect.resource.used))
}

fn from(suspect: &Suspect<'_>, unit: &Unit) -> String {
    match suspect.onset {
        Some(onset) => format!("full from {} on", load(onset.at, unit)),
        None if suspect.full => "full at every level measured".to_owned(),
        None => format!(
            "not full on average ({}), but often enough for a queue",
            percent(suspect.resource.utilization.unwrap_or(0.0))
        ),
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

pub(super) fn named(suspect: &Suspect<'_>, victims: &[Suspect<'_>], step: &Step<'_>, unit: &Unit) -> String {
    let mut text = format!(
        "{} is what gives way first: {} at {}, {}; ",
        suspect.name,
        state(suspect),
        load(step.knee.level, unit),
        from(suspect, unit)
    );
    text += &match suspect.inferred {
        false => {
            format!("waiting for it explains {} of the {}", percent(suspect.share), compared(step, unit))
        }
        true => format!(
            "it tells no waiting times, but as the only full resource without them it is left with {} of the {}",
            percent(suspect.share),
            compared(step, unit)
        ),
    };
    match suspect.hold_growth {
        Some(growth) if growth <= FLAT_HOLD => {
            text += &format!("; each use takes as long as before ({growth:.2}x), so its size is what binds");
        }
        Some(growth) => {
            text +=
                &format!("; each use takes {growth:.2}x as long as before, so what it guards contributes");
        }
        None => {}
    }
    for victim in victims {
        text += &format!("; {} is full too, but only because {}", victim.name, why_victim(victim));
    }
    text + "."
}

pub(super) fn set(suspects: &[&Suspect<'_>], step: &Step<'_>, unit: &Unit) -> String {
    let each: Vec<String> = suspects
        .iter()
        .map(|suspect| {
            format!("{} ({}, {} of the added time)", suspect.name, state(suspect), percent(suspect.share))
        })
        .collect();
    format!(
        "{} cannot be told apart as the cause of the {}; widen one of them and search again.",
        each.join(" and "),
        compared(step, unit)
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
    match victim.hold_growth {
        Some(growth) if victim.is_held_longer() => {
            format!("its slots are held {growth:.1}x as long as at the lowest level")
        }
        _ => "what it guards had stopped giving more while half of its slots were still free".to_owned(),
    }
}

pub(super) fn victim_alone(victim: &Suspect<'_>, step: &Step<'_>, unit: &Unit) -> String {
    format!(
        "{} is full ({}), but only because {}: it is the victim of what it guards, and nothing observed explains the {}. Observe what it \
         guards (its processor, locks, disk) and search again; a larger pool would move the queue, not remove it.",
        victim.name,
        state(victim),
        why_victim(victim),
        compared(step, unit)
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

pub(super) fn unexplained(levels: &[Level], causes: &[Suspect<'_>], step: &Step<'_>, unit: &Unit) -> String {
    let compared = compared(step, unit);
    if levels.iter().all(|level| level.resources.is_empty()) {
        return format!(
            "no resource of the target was observed, so nothing can explain the {compared}; add an `observe` section."
        );
    }
    match causes.first() {
        None => format!(
            "none of the observed resources was full at {}, so something that is not observed takes the {compared}{}.",
            load(step.knee.level, unit),
            nearest(step)
        ),
        Some(cause) => format!(
            "{} was full ({}), but waiting for it explains only {} of the {compared}; the rest is spent in something that is not observed.",
            cause.name,
            state(cause),
            percent(cause.share)
        ),
    }
}
