//! A resource of the system under load: which series tell of it, and how two scrapes become one reading of the span between them.

use super::prometheus::{Growth, Scrape, Told};
use crate::promql::{Query, Selector};
use crate::record::rows::{SIGNAL, SaturationRow};
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
    /// A number that a query gives: no resource, and nothing that could be full.
    Signal,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::Signal => SIGNAL,
        }
    }
}

/// One figure of a resource in a scrape.
#[derive(Clone, Debug)]
pub enum Figure {
    /// The sum of all series that match, each selector times its factor; of several selectors all must have one.
    Sum(Vec<(Selector, f64)>),
    /// How many match: cores, of which each has a series of its own.
    Count(Selector),
    /// The sum of those above zero, where `-1` stands for what has no limit.
    Told(Selector),
    /// The largest, where each tells the whole.
    Largest(Selector),
    /// The sum, where it is what it was at the look before: what is adapted all the time is no limit.
    Steady(Selector),
    /// What was observed between the looks, on the mean, of a summary or histogram by its name; times its series, each of which is one of those used.
    Observed { name: String, series: Selector },
    /// What is so by its nature: a thread is one.
    Is(f64),
}

impl Figure {
    pub fn sum(selector: Selector) -> Self {
        Self::Sum(vec![(selector, 1.0)])
    }

    /// Of a scrape: a query that is a selector is the sum of its series, any other what was reckoned of it.
    pub fn scraped(query: &Query) -> Self {
        query.selector().map_or_else(|| Self::reckoned(query), |selector| Self::sum(selector.clone()))
    }

    /// The value of a query as it was put into the scrape.
    pub fn reckoned(query: &Query) -> Self {
        Self::sum(Scrape::reckoned(query))
    }

    fn of(&self, earlier: &Scrape, later: &Scrape) -> Option<f64> {
        match self {
            Self::Sum(terms) => terms
                .iter()
                .try_fold(0.0, |sum, (selector, factor)| Some(sum + later.get(selector)? * factor)),
            Self::Count(selector) => later.count(selector),
            Self::Told(selector) => {
                let told: f64 = later.matching(selector).map(|(_, value)| value.max(0.0)).sum();
                (told > 0.0).then_some(told)
            }
            Self::Largest(selector) => later.matching(selector).map(|(_, value)| value).reduce(f64::max),
            Self::Steady(selector) => {
                later.get(selector).filter(|now| earlier.get(selector).is_some_and(|before| before == *now))
            }
            Self::Observed { name, series } => {
                let grown =
                    |part: &str| match later.grown(earlier, &Selector::new(&format!("{name}{part}"), &[])) {
                        Growth::By(grown) => Some(grown),
                        Growth::Unknown | Growth::Reset => None,
                    };
                let (sum, count) = (grown("_sum")?, grown("_count")?);
                (count > 0.0)
                    .then(|| sum / count)
                    .zip(later.count(series))
                    .map(|(mean, series)| mean * series)
            }
            Self::Is(value) => Some(*value),
        }
    }

    /// The selectors of a sum.
    fn terms(&self) -> impl Iterator<Item = &Selector> {
        let terms = if let Self::Sum(terms) = self { terms.as_slice() } else { &[] };
        terms.iter().map(|(selector, _)| selector)
    }

    /// Growth of what is counted, in a span of `span_s` where `looks_s` lie between the scrapes.
    fn grown(&self, earlier: &Scrape, later: &Scrape, span_s: f64, looks_s: f64) -> Growth {
        let Self::Sum(terms) = self else { return Growth::Unknown };
        let grown = terms
            .iter()
            .map(|(selector, factor)| (later.grown_in(earlier, selector, span_s, looks_s), *factor));
        grown.fold(Growth::By(0.0), |sum, term| match (sum, term) {
            (Growth::Reset, _) | (_, (Growth::Reset, _)) => Growth::Reset,
            (Growth::By(sum), (Growth::By(grown), factor)) => Growth::By(sum + grown * factor),
            _ => Growth::Unknown,
        })
    }
}

/// The figures of one resource. Where a service exports an integral (`…_seconds_total` of slots in use), the mean over the span is
/// exact; a gauge is only what it was at the two looks. What is not told is `None`, never a guess.
#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    pub kind: Kind,
    pub used: Option<Figure>,
    /// Counter of used × seconds.
    pub used_seconds: Option<Figure>,
    pub limit: Option<Figure>,
    pub waiting: Option<Figure>,
    pub waiting_seconds: Option<Figure>,
    pub errors: Option<Figure>,
    pub visits: Option<Figure>,
    pub wait_seconds: Option<Figure>,
    pub hold_seconds: Option<Figure>,
}

/// The times that a page gives, against those at which it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Of what is told, seconds; never below zero, as where a clock is ahead of ours.
    pub age_s: f64,
    /// From what was told before to what is told now, seconds.
    pub since_s: f64,
}

/// What two looks at a resource amount to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Row(SaturationRow),
    /// The later look does not tell how much is used.
    Nothing,
    /// It tells, by the times that the page gives, what the earlier look told already.
    AsBefore,
    /// A counter has begun anew: the span says nothing.
    Reset,
}

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

    /// A resource as a scenario defines it; `figure` says where a query's value is found.
    ///
    /// # Errors
    /// Which role is wrong.
    pub fn from_roles(
        name: &str,
        roles: &BTreeMap<String, Query>,
        figure: impl Fn(&Query) -> Figure,
    ) -> Result<Self, String> {
        let mut resource = Self::empty(name, kind_of(name, roles));
        for (role, query) in roles {
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
                other => return Err(format!("{name}: a resource has no figure `{other}`")),
            };
            *slot = Some(figure(query));
        }
        Ok(resource)
    }

    /// A signal of a scenario, whose value was put into the scrape.
    pub fn signal(name: &str, query: &Query) -> Self {
        Self { used: Some(Figure::reckoned(query)), ..Self::empty(name, Kind::Signal) }
    }

    /// Whether its limit is one that may move, and did in the span of this reading.
    pub fn is_adapted(&self, row: &SaturationRow) -> bool {
        matches!(self.limit, Some(Figure::Steady(_))) && row.limit.is_none()
    }

    /// What says how much is used: the integral, where there is one.
    fn main(&self) -> Option<&Figure> {
        self.used_seconds.as_ref().or(self.used.as_ref())
    }

    /// How old what the later of two scrapes tells of it was when it was read, and how much newer it is than what the earlier told, seconds; `None`
    /// where the page gives no times, and so tells of the present.
    pub fn lag(&self, earlier: &Scrape, later: &Scrape) -> Option<Lag> {
        let main = self.main()?;
        let newest_s = |scrape: &Scrape| {
            let told = main.terms().filter_map(|selector| scrape.told(selector)).reduce(Told::and);
            told.map(|told| told.newest_s)
        };
        let (now_s, before_s) = (newest_s(later)?, newest_s(earlier)?);
        Some(Lag { age_s: (later.read_unix_s() - now_s).max(0.0), since_s: now_s - before_s })
    }

    /// The reading of the span between two scrapes. Where the page gives times, both the span and the reading go by these: what is told of a counter may be half
    /// a minute old, and the same at many looks.
    pub fn reading(&self, before: (&Scrape, f64), now: (&Scrape, f64)) -> Reading {
        let (earlier, earlier_s) = before;
        let (later, now_s) = now;
        let looks_s = now_s - earlier_s;
        let lag = self.lag(earlier, later);
        let (span_s, age_s) = lag.map_or((looks_s, 0.0), |lag| (lag.since_s, lag.age_s));
        // A signal is of its newest sample; of a resource the sum is of no time before each of its series has come on.
        let waits = self.kind != Kind::Signal
            && self
                .main()
                .is_some_and(|main| main.terms().any(|selector| later.stands_still(earlier, selector)));
        // A signal may be infinite, as a ratio to nothing is, and then a rule on it fires. No resource can.
        let gauge = |figure: &Option<Figure>| {
            let value = figure.as_ref()?.of(earlier, later)?;
            (value.is_finite() || (self.kind == Kind::Signal && !value.is_nan())).then_some(value)
        };
        let growth = |figure: &Option<Figure>| {
            figure.as_ref().map_or(Growth::Unknown, |figure| figure.grown(earlier, later, span_s, looks_s))
        };
        let counters = [
            &self.used_seconds,
            &self.waiting_seconds,
            &self.errors,
            &self.visits,
            &self.wait_seconds,
            &self.hold_seconds,
        ];
        if counters.iter().any(|figure| growth(figure) == Growth::Reset) {
            return Reading::Reset;
        }
        if waits || lag.is_some_and(|lag| lag.since_s <= 0.0) {
            return Reading::AsBefore;
        }
        let delta = |figure: &Option<Figure>| match growth(figure) {
            Growth::By(grown) => Some(grown).filter(|grown| grown.is_finite()),
            Growth::Unknown | Growth::Reset => None,
        };
        let mean =
            |integral: &Option<Figure>| (span_s > 0.0).then(|| delta(integral))?.map(|grown| grown / span_s);
        let Some(used) = mean(&self.used_seconds).or_else(|| gauge(&self.used)) else {
            return Reading::Nothing;
        };
        let limit = gauge(&self.limit).filter(|limit| *limit > 0.0);
        Reading::Row(SaturationRow {
            t_s: now_s - age_s,
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
fn kind_of(name: &str, roles: &BTreeMap<String, Query>) -> Kind {
    let part = name.rsplit('.').next().unwrap_or(name);
    // A gauge of bytes: what counts them, or is reckoned of them, may be a rate.
    let gauge = |name: &str| name.contains("bytes") && !name.ends_with("_total");
    let bytes = roles.get("used").and_then(Query::selector).is_some_and(|used| gauge(used.name()));
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

    fn resource(name: &str, roles: &[(&str, &str)]) -> Result<Resource, String> {
        let query = |text: &str| Query::of_scrapes(text).expect("a query");
        let roles = roles.iter().map(|(role, text)| ((*role).to_owned(), query(text))).collect();
        Resource::from_roles(name, &roles, Figure::scraped)
    }

    fn pool() -> Resource {
        let roles = [("used_seconds", "u"), ("limit", "l"), ("wait_seconds", "w"), ("visits", "c")];
        resource("mongodb.pool", &roles).expect("roles")
    }

    #[test]
    fn an_integral_gives_the_exact_mean_of_the_span() {
        let reading = pool().reading((&scrape(100.0, 1.0, 50.0), 4.0), (&scrape(115.0, 1.5, 250.0), 6.0));
        let Reading::Row(row) = reading else { panic!("{reading:?}") };
        assert_eq!((row.used, row.limit, row.utilization), (7.5, Some(10.0), Some(0.75)));
        assert_eq!((row.visits, row.wait_s, row.hold_s), (Some(200.0), Some(0.5), None));
    }

    #[test]
    fn what_lags_is_of_the_time_that_it_says() {
        let now_ms = (crate::clock::unix_ns() / 1_000_000) as i64;
        let at = |value: f64, age_ms: i64| {
            Scrape::parse(&format!("u {value} {}\nl 10\n", now_ms - age_ms)).expect("parses")
        };
        let pool = resource("a.pool", &[("used_seconds", "u"), ("limit", "l")]).expect("roles");
        let (first, second) = (at(100.0, 40_000), at(250.0, 10_000));
        assert_eq!(pool.reading((&first, 60.0), (&first, 61.0)), Reading::AsBefore);
        let reading = pool.reading((&first, 61.0), (&second, 62.0));
        let Reading::Row(row) = reading else { panic!("{reading:?}") };
        assert!((row.used - 5.0).abs() < 1e-6, "150 in half a minute, not in a second: {row:?}");
        assert!((50.0..52.5).contains(&row.t_s), "it is ten seconds old: {row:?}");
        let ahead = pool.reading((&first, 61.0), (&at(250.0, -9_000), 62.0));
        assert!(matches!(ahead, Reading::Row(row) if row.t_s == 62.0), "nothing is of the time to come");
    }

    #[test]
    fn two_instances_that_are_scraped_in_turn_are_one_reading() {
        // Each has one in use all the time, and is scraped every fifteen seconds, the second four behind the first.
        let now_s = crate::clock::unix_ns() as f64 / 1e9;
        let at = |t_s: i64| {
            let told = |phase_s: i64| (t_s - phase_s).div_euclid(15) * 15 + phase_s;
            let line = |i: u32, told_s: i64| {
                format!("u{{i=\"{i}\"}} {told_s} {}\n", ((now_s - 70.0) * 1e3) as i64 + told_s * 1_000)
            };
            Scrape::parse(&format!("{}{}l 4\nn {t_s}\n", line(0, told(0)), line(1, told(4)))).expect("parses")
        };
        let roles = [("used_seconds", "u"), ("limit", "l"), ("visits", "n")];
        let pool = resource("a.pool", &roles).expect("roles");
        let (mut before, mut rows) = ((at(20), 20.0), Vec::new());
        for t_s in 21..66_i64 {
            let now = (at(t_s), t_s as f64);
            match pool.reading((&before.0, before.1), (&now.0, now.1)) {
                Reading::Row(row) => {
                    rows.push(row);
                    before = now;
                }
                Reading::AsBefore => {}
                other => panic!("{other:?}"),
            }
        }
        let used: Vec<f64> = rows.iter().map(|row| row.used).collect();
        assert!(used.len() == 3 && used.iter().all(|used| (used - 2.0).abs() < 1e-6), "{used:?}");
        // What carries no time is of the looks: one a second, in the fifteen of the reading.
        assert!(rows.iter().all(|row| row.visits.is_some_and(|n| (n - 15.0).abs() < 1e-3)), "{rows:?}");
    }

    #[test]
    fn a_restarted_service_yields_no_reading_of_the_span() {
        let before = scrape(100.0, 1.0, 50.0);
        let reading = pool().reading((&before, 4.0), (&scrape(1.0, 0.0, 0.0), 5.0));
        assert_eq!(reading, Reading::Reset);
        // One counter that wraps is enough: what else was counted is of the same process.
        assert_eq!(pool().reading((&before, 4.0), (&scrape(101.0, 0.5, 60.0), 5.0)), Reading::Reset);
        let nothing = Scrape::parse("l 10\n").expect("parses");
        assert_eq!(pool().reading((&before, 4.0), (&nothing, 5.0)), Reading::Nothing);
    }

    #[test]
    fn a_limit_that_is_not_told_is_none() {
        let before = Scrape::parse("m_used_bytes 7\nm_max_bytes -1\n").expect("parses");
        let heap =
            resource("app.heap", &[("used", "m_used_bytes"), ("limit", "m_max_bytes")]).expect("roles");
        let Reading::Row(row) = heap.reading((&before, 0.0), (&before, 1.0)) else { panic!("no row") };
        assert_eq!((row.kind.as_str(), row.used, row.limit, row.utilization), ("memory", 7.0, None, None));
    }

    #[test]
    fn bytes_in_a_second_are_no_memory() {
        let kind = |used: &str| resource("app.x", &[("used", used)]).expect("roles").kind;
        assert_eq!(kind("heap_used_bytes{area=\"heap\"}"), Kind::Memory);
        assert_eq!(kind("rate(network_receive_bytes_total[5s])"), Kind::Queue);
        assert_eq!(kind("sum(network_receive_bytes_total)"), Kind::Queue);
    }

    #[test]
    fn only_a_signal_can_be_infinite_and_nothing_is_not_a_number() {
        let query = Query::of_scrapes("a / b").expect("a query");
        let read = |resource: &Resource, value: f64| {
            let mut scrape = Scrape::default();
            scrape.put(&query, value, None);
            resource.reading((&scrape, 0.0), (&scrape, 1.0))
        };
        let signal = Resource::signal("failing", &query);
        assert!(matches!(read(&signal, f64::INFINITY), Reading::Row(row) if row.used == f64::INFINITY));
        assert_eq!(read(&signal, f64::NAN), Reading::Nothing);
        let pool = resource("a.pool", &[("used", "a / b")]).expect("roles");
        assert_eq!(read(&pool, f64::INFINITY), Reading::Nothing);
    }

    #[test]
    fn an_unknown_role_is_named() {
        assert!(resource("a.pool", &[("usde", "x")]).expect_err("refused").contains("usde"));
    }
}
