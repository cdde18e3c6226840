//! A source that is a Prometheus server: what it has scraped, asked for query by query. A server knows of the present only what it scraped
//! last, so each resource and signal is asked for as of its newest sample, and the reading has the time of that sample; one that
//! has not come on since the last look is no new reading.

use super::{Deaf, LAG_TOLD_S, Loss, Observed, Voice, interval};
use crate::clock::{self, Clock};
use crate::probe::prometheus::{Scrape, Told};
use crate::probe::resource::{Figure, Kind, Reading, Resource};
use crate::probe::server::{Ahead, AskError, Server};
use crate::promql::{Labels, Query};
use crate::record::rows::SaturationRow;
use crate::scenario::plan::ObserveSource;
use std::collections::BTreeMap;

/// Clocks that are nearer to each other than this beyond doubt are not spoken of: readings are seconds apart.
const CLOCK_TOLD_S: f64 = 0.1;

/// What is asked for together, and what it was at the last look.
struct Subject {
    resource: Resource,
    /// Each with whether it is a counter, in which resets are looked for.
    queries: Vec<(Query, bool)>,
    /// The series that it is of.
    named: Vec<String>,
    /// When that was on the server's clock, Unix seconds.
    last_s: Option<f64>,
    before: Option<(Scrape, f64)>,
}

/// What one look at a subject finds.
enum Look {
    /// Figures, and when they were so on the server's clock, Unix seconds.
    At(Scrape, f64),
    /// Nothing newer than the last.
    AsBefore,
    /// No series by any of its names.
    Nothing,
}

pub(super) async fn watch(
    source: ObserveSource,
    url: String,
    client: reqwest::Client,
    clock: Clock,
    mut voice: Voice,
) {
    let mut interval = interval(source.every);
    let mut subjects = subjects(&source);
    let server = Server::at(client, &url);
    let mut clocks: Option<Ahead> = None;
    loop {
        interval.tick().await;
        if look(&server, &mut subjects, &mut clocks, clock, &mut voice).await.is_err() {
            return;
        }
    }
}

fn subjects(source: &ObserveSource) -> Vec<Subject> {
    let resource = |(name, roles): (&String, &BTreeMap<String, Query>)| {
        // The roles were checked with the scenario.
        let resource = Resource::from_roles(name, roles, Figure::reckoned).ok()?;
        let main = roles.get("used").or_else(|| roles.get("used_seconds"))?;
        let named = main.named().to_vec();
        let counts = |role: &str| !matches!(role, "used" | "limit" | "waiting");
        let queries = roles.iter().map(|(role, query)| (query.clone(), counts(role))).collect();
        Some(Subject { resource, queries, named, last_s: None, before: None })
    };
    let signal = |(name, query): (&String, &Query)| Subject {
        resource: Resource::signal(name, query),
        queries: vec![(query.clone(), false)],
        named: query.named().to_vec(),
        last_s: None,
        before: None,
    };
    source.resources.iter().filter_map(resource).chain(source.signals.iter().map(signal)).collect()
}

/// Asks for everything once.
async fn look(
    server: &Server,
    subjects: &mut [Subject],
    clocks: &mut Option<Ahead>,
    clock: Clock,
    voice: &mut Voice,
) -> Result<(), Deaf> {
    let url = server.url();
    let server_s = match server.ahead().await {
        Ok((ahead, server_s)) => {
            voice.well("server", || format!("{url} answers again")).await?;
            let stepped = clocks.is_some_and(|known| ahead.stepped_from(known));
            if stepped {
                let text = format!(
                    "the clock of {url}, or ours, was set while the run went on: readings around that may have a wrong time"
                );
                voice.trouble("clock step", text).await?;
                // What lies on both sides of it is no span.
                subjects.iter_mut().for_each(|subject| subject.before = None);
            }
            // The quickest answer is the one that can be least wrong.
            if stepped || clocks.is_none_or(|known| ahead.give_or_take_s <= known.give_or_take_s) {
                *clocks = Some(ahead);
            }
            server_s
        }
        Err(error) => {
            voice.trouble("server", format!("{error}; readings are missing until it answers")).await?;
            return voice.say(Observed::Lost(Loss::Look)).await;
        }
    };
    let Some(ahead) = *clocks else { return Ok(()) };
    if ahead.by_s.abs() > ahead.give_or_take_s + CLOCK_TOLD_S {
        let text = format!(
            "the clock of {url} is {:.2} s {} ours (give or take {:.3} s); readings are put where they belong on ours",
            ahead.by_s.abs(),
            if ahead.by_s > 0.0 { "ahead of" } else { "behind" },
            ahead.give_or_take_s
        );
        voice.trouble("clock", text).await?;
    }
    // What the run's clock read when the server's read zero.
    let now_s = clock.now() as f64 / 1e9;
    let run_zero_s = clock::unix_ns() as f64 / 1e9 - now_s;
    let on_ours = |server_unix_s: f64| server_unix_s - ahead.by_s - run_zero_s;
    let mut rows: Vec<SaturationRow> = Vec::new();
    for subject in subjects {
        let name = subject.resource.name.clone();
        match subject.look(server, server_s).await {
            Ok(Look::At(scrape, at_unix_s)) => {
                let lag_s = server_s - at_unix_s;
                if lag_s > LAG_TOLD_S {
                    let text = format!("what {url} knows of {name} is {lag_s:.1} s old when it is asked");
                    voice.trouble(&format!("lag of {name}"), text).await?;
                }
                let at_s = on_ours(at_unix_s);
                // A query has a value at each look; of a resource two looks are one reading.
                let before = subject.before.take();
                if before.is_none() && !subject.is_signal() {
                    subject.before = Some((scrape, at_s));
                    continue;
                }
                let (earlier, earlier_s) = before.unwrap_or_else(|| (scrape.clone(), at_s));
                let reading = subject.resource.reading((&earlier, earlier_s), (&scrape, at_s));
                if reading == Reading::AsBefore {
                    // One of its series has not come on: it grows since the same look.
                    subject.before = Some((earlier, earlier_s));
                    voice.stands_still(&name, url, now_s).await?;
                    continue;
                }
                subject.before = Some((scrape.clone().after(&earlier), at_s));
                match reading {
                    Reading::Row(row) => {
                        voice.well(&name, || format!("{url} has data of {name} again")).await?;
                        voice.came_on(&name, now_s).await?;
                        for (query, _) in &subject.queries {
                            let there = scrape.has(Scrape::reckoned(query).name());
                            let nothing = || format!("{url} has no series for `{query}` of {name}");
                            voice.heed(&format!("{query} of {name}"), there, nothing).await?;
                        }
                        // What was before the run began is none of its readings.
                        rows.extend((row.t_s > 0.0).then_some(row));
                    }
                    Reading::AsBefore => {}
                    Reading::Nothing => {
                        let text = format!("{url} has no figure of {name} at present, or it is 0/0");
                        voice.trouble(&name, text).await?;
                    }
                    Reading::Reset => {
                        let text = format!(
                            "the counters of {name} at {url} began anew: there is no reading of that time"
                        );
                        voice.trouble(&format!("reset of {name}"), text).await?;
                        voice.say(Observed::Lost(Loss::Reset)).await?;
                    }
                }
            }
            Ok(Look::AsBefore) => voice.stands_still(&name, url, now_s).await?,
            Ok(Look::Nothing) => {
                let text = format!("{url} has no sample of what {name} asks for: is it called so there?");
                voice.trouble(&name, text).await?;
            }
            Err(error) => {
                voice.trouble(&name, format!("{name}: {error}")).await?;
                voice.say(Observed::Lost(Loss::Look)).await?;
            }
        }
    }
    voice.read(rows).await
}

impl Subject {
    /// Its figures as of its newest sample.
    async fn look(&mut self, server: &Server, server_s: f64) -> Result<Look, AskError> {
        let mut newest_s = self.named.is_empty().then_some(server_s);
        for series in &self.named {
            let at_s = server.value(&format!("max(timestamp({series}))"), None).await?;
            newest_s = at_s.into_iter().chain(newest_s).reduce(f64::max);
        }
        let Some(at_s) = newest_s else { return Ok(Look::Nothing) };
        if self.last_s == Some(at_s) {
            return Ok(Look::AsBefore);
        }
        self.last_s = Some(at_s);
        let told = self.told(server, at_s).await?;
        let mut scrape = Scrape::read_at(at_s);
        for (query, counts) in &self.queries {
            match query.selector() {
                // In a sum the reset of one would hide in the growth of the others.
                Some(_) if *counts => {
                    let series = timed(server, query, at_s).await?;
                    if !series.is_empty() {
                        scrape.put_series(query, series);
                    }
                }
                // As over scrapes: a selector is the sum of its series.
                Some(_) if !self.is_signal() => {
                    if let Some(value) = server.value(&format!("sum({query})"), Some(at_s)).await? {
                        scrape.put(query, value, told);
                    }
                }
                _ => {
                    if let Some(value) = server.value(query.text(), Some(at_s)).await? {
                        scrape.put(query, value, told);
                    }
                }
            }
        }
        Ok(Look::At(scrape, at_s))
    }

    /// The times of what it is of. A signal is of the newest.
    async fn told(&self, server: &Server, at_s: f64) -> Result<Option<Told>, AskError> {
        if self.is_signal() || self.named.is_empty() {
            return Ok(None);
        }
        let mut told = Told::at(at_s);
        for series in &self.named {
            let oldest_s = server.value(&format!("min(timestamp({series}))"), Some(at_s)).await?;
            told = oldest_s.map(Told::at).into_iter().fold(told, Told::and);
        }
        Ok(Some(told))
    }

    fn is_signal(&self) -> bool {
        self.resource.kind == Kind::Signal
    }
}

/// The series of a selector, each with the time of its sample: one is scraped before another.
async fn timed(
    server: &Server,
    selector: &Query,
    at_s: f64,
) -> Result<Vec<(Labels, f64, Option<Told>)>, AskError> {
    let times = server.series(&format!("timestamp({selector})"), Some(at_s)).await?;
    let times: BTreeMap<Labels, f64> = times.into_iter().collect();
    let series = server.series(selector.text(), Some(at_s)).await?;
    let timed = series.into_iter().map(|(mut labels, value)| {
        // The times are told without the name.
        labels.remove("__name__");
        let told = times.get(&labels).copied().map(Told::at);
        (labels, value, told)
    });
    Ok(timed.collect())
}
