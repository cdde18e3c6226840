//! A source that is a Prometheus server: what it has scraped, asked for query by query. A server knows of the present only what it scraped
//! last, so each resource and signal is asked for as of its newest sample, and the reading has the time of that sample; one that
//! has not come on since the last look is no new reading.

use super::{Deaf, Loss, Observed, Voice, interval};
use crate::clock::{self, Clock};
use crate::probe::prometheus::Scrape;
use crate::probe::resource::{Figure, Kind, Reading, Resource};
use crate::probe::server::{Ahead, AskError, Server};
use crate::promql::Query;
use crate::record::rows::SaturationRow;
use crate::scenario::plan::ObserveSource;
use std::collections::BTreeMap;

/// Clocks that are nearer to each other than this beyond doubt are not spoken of: readings are seconds apart.
const CLOCK_TOLD_S: f64 = 0.1;
/// Samples that are older than this are spoken of: whoever watches a run should know how far behind they are.
const LAG_TOLD_S: f64 = 2.0;

/// What is asked for together, and what it was at the last look.
struct Subject {
    resource: Resource,
    queries: Vec<Query>,
    /// For the time of its newest sample, where it names a series.
    newest: Option<String>,
    /// When that was on the server's clock, Unix seconds.
    last_s: Option<f64>,
    before: Option<(Scrape, f64)>,
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
        let newest = main.newest().map(ToOwned::to_owned);
        let queries = roles.values().cloned().collect();
        Some(Subject { resource, queries, newest, last_s: None, before: None })
    };
    let signal = |(name, query): (&String, &Query)| Subject {
        resource: Resource::signal(name, query),
        queries: vec![query.clone()],
        newest: query.newest().map(ToOwned::to_owned),
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
            // The quickest answer is the one that can be least wrong.
            if clocks.is_none_or(|known| ahead.give_or_take_s <= known.give_or_take_s) {
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
    let run_zero_s = clock::unix_ns() as f64 / 1e9 - clock.now() as f64 / 1e9;
    let on_ours = |server_unix_s: f64| server_unix_s - ahead.by_s - run_zero_s;
    let mut rows: Vec<SaturationRow> = Vec::new();
    for subject in subjects {
        let name = subject.resource.name.clone();
        match subject.look(server, server_s).await {
            Ok(Some((scrape, at_unix_s))) => {
                let lag_s = server_s - at_unix_s;
                if lag_s > LAG_TOLD_S {
                    let text = format!("what {url} knows of {name} is {lag_s:.1} s old when it is asked");
                    voice.trouble(&format!("lag of {name}"), text).await?;
                }
                let at_s = on_ours(at_unix_s);
                let before = subject.before.replace((scrape.clone(), at_s));
                let (earlier, earlier_s) = match before {
                    Some(before) => before,
                    // A query has a value at each look; of a resource two looks are one reading.
                    None if subject.is_signal() => (scrape.clone(), at_s),
                    None => continue,
                };
                match subject.resource.reading((&earlier, earlier_s), (&scrape, at_s)) {
                    Reading::Row(row) => {
                        voice.well(&name, || format!("{url} has data of {name} again")).await?;
                        // What was before the run began is none of its readings.
                        rows.extend((row.t_s > 0.0).then_some(row));
                    }
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
            Ok(None) => {}
            Err(error) => {
                voice.trouble(&name, format!("{name}: {error}")).await?;
                voice.say(Observed::Lost(Loss::Look)).await?;
            }
        }
    }
    voice.say(Observed::Readings(rows)).await
}

impl Subject {
    /// Its figures as of its newest sample, with the time of that; `None` while that is the one of the last look.
    async fn look(&mut self, server: &Server, server_s: f64) -> Result<Option<(Scrape, f64)>, AskError> {
        let at_s = match &self.newest {
            None => server_s,
            Some(newest) => match server.value(newest, None).await? {
                Some(at_s) => at_s,
                // No data: the reading will find that too, and say so.
                None => server_s,
            },
        };
        if self.last_s == Some(at_s) {
            return Ok(None);
        }
        self.last_s = Some(at_s);
        let mut scrape = Scrape::default();
        for query in &self.queries {
            // As over scrapes: a selector is the sum of its series.
            let asked = query.selector().map_or_else(|| query.text().to_owned(), |_| format!("sum({query})"));
            let asked = if self.is_signal() { query.text() } else { &asked };
            if let Some(value) = server.value(asked, Some(at_s)).await? {
                scrape.put(query, value);
            }
        }
        Ok(Some((scrape, at_s)))
    }

    fn is_signal(&self) -> bool {
        self.resource.kind == Kind::Signal
    }
}
