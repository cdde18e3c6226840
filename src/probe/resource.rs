//! A resource of the system under load: which series tell of it, and how two scrapes become one reading of the span between them.

use super::prometheus::{MetricSelector, Scrape};
use crate::record::rows::SaturationRow;
use std::collections::BTreeMap;

/// What sort of thing it is, which decides how its saturation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number of slots, each held for a while, with a queue in front.
    Pool,
    /// Cores: used = CPU seconds per second.
    Cpu,
    /// Bytes.
    Memory,
    /// Anything else that is counted.
    Queue,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Queue => "queue",
        }
    }
}

/// The series of one resource. Where a service exports an integral (`…_seconds_total` of slots in use), the mean over the span is
/// exact; a gauge is only what it was at the two looks.
#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    pub kind: Kind,
    pub used: Option<MetricSelector>,
    /// Counter of used × seconds.
    pub used_seconds: Option<MetricSelector>,
    pub limit: Option<MetricSelector>,
    pub waiting: Option<MetricSelector>,
    pub waiting_seconds: Option<MetricSelector>,
    pub errors: Option<MetricSelector>,
    pub visits: Option<MetricSelector>,
    pub wait_seconds: Option<MetricSelector>,
    pub hold_seconds: Option<MetricSelector>,
}

/// Roles a scenario may give under `observe: … resources: NAME: {role: selector}`.
pub const ROLES: &[&str] = &[
    "used",
    "used_seconds",
    "limit",
    "waiting",
    "waiting_seconds",
    "errors",
    "visits",
    "wait_seconds",
    "hold_seconds",
];

impl Resource {
    pub fn empty(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            used: None,
            used_seconds: None,
            limit: None,
            waiting: None,
            waiting_seconds: None,
            errors: None,
            visits: None,
            wait_seconds: None,
            hold_seconds: None,
        }
    }

    /// # Errors
    /// Which role or selector is wrong.
    pub fn from_roles(name: &str, roles: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut resource = Self::empty(name, kind_of(name, roles));
        for (role, text) in roles {
            let selector = Some(MetricSelector::parse(text).map_err(|why| format!("{name}.{role}: {why}"))?);
            let slot = match role.as_str() {
                "used" => &mut resource.used,
                "used_seconds" => &mut resource.used_seconds,
                "limit" => &mut resource.limit,
                "waiting" => &mut resource.waiting,
                "waiting_seconds" => &mut resource.waiting_seconds,
                "errors" => &mut resource.errors,
                "visits" => &mut resource.visits,
                "wait_seconds" => &mut resource.wait_seconds,
                "hold_seconds" => &mut resource.hold_seconds,
                other => return Err(format!("{name}: no role `{other}`; there are {}", ROLES.join(", "))),
            };
            *slot = selector;
        }
        if resource.used.is_none() && resource.used_seconds.is_none() {
            return Err(format!(
                "{name}: give `used` (a gauge) or `used_seconds` (a counter), else nothing can be judged"
            ));
        }
        Ok(resource)
    }

    /// The reading of the span between two scrapes; `None` when the later one does not tell how much is used. A counter that fell
    /// (the service was restarted) yields no difference.
    pub fn reading(&self, before: (&Scrape, f64), now: (&Scrape, f64)) -> Option<SaturationRow> {
        let (earlier, earlier_s) = before;
        let (later, now_s) = now;
        let span_s = now_s - earlier_s;
        let gauge = |selector: &Option<MetricSelector>| later.get(selector.as_ref()?);
        let delta = |selector: &Option<MetricSelector>| {
            let selector = selector.as_ref()?;
            let grown = later.get(selector)? - earlier.get(selector)?;
            (grown >= 0.0).then_some(grown)
        };
        let mean = |integral: &Option<MetricSelector>| {
            (span_s > 0.0).then(|| delta(integral))?.map(|grown| grown / span_s)
        };
        let used = mean(&self.used_seconds).or_else(|| gauge(&self.used))?;
        let limit = gauge(&self.limit).filter(|limit| *limit > 0.0);
        Some(SaturationRow {
            t_s: now_s,
            resource: self.name.clone(),
            kind: self.kind.name().to_owned(),
            used,
            limit,
            waiting: mean(&self.waiting_seconds).or_else(|| gauge(&self.waiting)),
            utilization: limit.map(|limit| used / limit),
            errors: delta(&self.errors),
            visits: delta(&self.visits),
            wait_s: delta(&self.wait_seconds),
            hold_s: delta(&self.hold_seconds),
        })
    }
}

/// A resource named in a scenario says what it is by its name and its roles.
fn kind_of(name: &str, roles: &BTreeMap<String, String>) -> Kind {
    let part = name.rsplit('.').next().unwrap_or(name);
    let bytes = roles.get("used").is_some_and(|used| used.contains("bytes"));
    if part == "cpu" {
        Kind::Cpu
    } else if bytes || matches!(part, "heap" | "memory") {
        Kind::Memory
    } else if part == "pool" || roles.contains_key("waiting") || roles.contains_key("hold_seconds") {
        Kind::Pool
    } else {
        Kind::Queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(used_seconds: f64, waits: f64, count: f64) -> Scrape {
        Scrape::parse(&format!(
            "# TYPE u counter\nu {used_seconds}\n# TYPE l gauge\nl 10\n# TYPE w counter\nw {waits}\n# TYPE c counter\nc {count}\n"
        ))
        .expect("parses")
    }

    fn pool() -> Resource {
        let roles = [("used_seconds", "u"), ("limit", "l"), ("wait_seconds", "w"), ("visits", "c")];
        let roles = roles.map(|(role, name)| (role.to_owned(), name.to_owned())).into();
        Resource::from_roles("mongodb.pool", &roles).expect("roles")
    }

    #[test]
    fn an_integral_gives_the_exact_mean_of_the_span() {
        let row = pool()
            .reading((&scrape(100.0, 1.0, 50.0), 4.0), (&scrape(115.0, 1.5, 250.0), 6.0))
            .expect("a reading");
        assert_eq!((row.used, row.limit, row.utilization), (7.5, Some(10.0), Some(0.75)));
        assert_eq!((row.visits, row.wait_s, row.hold_s), (Some(200.0), Some(0.5), None));
    }

    #[test]
    fn a_restarted_service_yields_no_difference() {
        let row = pool().reading((&scrape(100.0, 1.0, 50.0), 4.0), (&scrape(1.0, 0.0, 0.0), 5.0));
        assert!(row.is_none(), "the only figure of use is a counter that fell");
    }

    #[test]
    fn an_unknown_role_is_named() {
        let roles = [("usde".to_owned(), "x".to_owned())].into();
        assert!(Resource::from_roles("a.pool", &roles).expect_err("refused").contains("usde"));
    }
}
