//! A source that is scraped.

use super::{Deaf, Loss, Observed, Voice, interval};
use crate::clock::Clock;
use crate::probe::history::History;
use crate::probe::preset;
use crate::probe::prometheus::{self, Scrape};
use crate::probe::resource::{Figure, Reading, Resource};
use crate::promql::Query;
use crate::record::rows::SaturationRow;
use crate::scenario::plan::ObserveSource;
use std::collections::BTreeMap;

/// Scrapes in a row in which a query has no value before that is told: one over a span has none before the second.
const VALUELESS_MAX: u32 = 5;

pub(super) async fn watch(
    source: ObserveSource,
    url: String,
    client: reqwest::Client,
    clock: Clock,
    voice: Voice,
) {
    let mut interval = interval(source.every);
    let mut scrapes = Scrapes::of(source, url, voice);
    loop {
        interval.tick().await;
        let fetched = prometheus::fetch(&client, &scrapes.url).await;
        let now_s = clock.now() as f64 / 1e9;
        if scrapes.take(fetched.map_err(|error| error.to_string()), now_s).await.is_err() {
            return;
        }
    }
}

/// One source and what is kept of it from one scrape to the next.
pub(super) struct Scrapes {
    source: ObserveSource,
    url: String,
    voice: Voice,
    history: History,
    before: Option<(Scrape, f64)>,
    /// How often in a row a query had no value.
    valueless: u32,
}

impl Scrapes {
    pub(super) fn of(source: ObserveSource, url: String, voice: Voice) -> Self {
        let history = History::of(source.queries());
        Self { source, url, voice, history, before: None, valueless: 0 }
    }

    pub(super) async fn take(&mut self, fetched: Result<Scrape, String>, now_s: f64) -> Result<(), Deaf> {
        let url = self.url.clone();
        let scrape = match fetched {
            Ok(scrape) => scrape,
            Err(error) => {
                let text = format!("{error}; readings are missing until it answers");
                self.voice.trouble("scrape", text).await?;
                return self.voice.say(Observed::Lost(Loss::Look)).await;
            }
        };
        self.voice.well("scrape", || format!("{url} answers again")).await?;
        if scrape.repeated() > 0 {
            let text =
                format!("{url} tells {} series more than once; the first of each counts", scrape.repeated());
            self.voice.trouble("repeated", text).await?;
        }
        let scrape = self.reckoned(scrape, now_s).await?;
        let resources = match self.resources(&scrape) {
            Ok(resources) => resources,
            Err(text) => return self.voice.trouble("resources", text).await,
        };
        let mut rows: Vec<SaturationRow> = Vec::new();
        let before = self.before.take();
        for resource in &resources {
            let Some((earlier, earlier_s)) = &before else { break };
            match resource.reading((earlier, *earlier_s), (&scrape, now_s)) {
                Reading::Row(row) => rows.push(row),
                Reading::Nothing => {}
                Reading::Reset => {
                    let text = format!(
                        "the counters of {} at {url} began anew (a restart, or another instance answers): there is no reading of that time",
                        resource.name
                    );
                    self.voice.trouble(&format!("reset of {}", resource.name), text).await?;
                    self.voice.say(Observed::Lost(Loss::Reset)).await?;
                }
            }
        }
        self.before = Some((scrape, now_s));
        self.voice.say(Observed::Readings(rows)).await
    }

    /// The scrape with the values of the queries in it, each under its text.
    async fn reckoned(&mut self, scrape: Scrape, now_s: f64) -> Result<Scrape, Deaf> {
        if self.queries().next().is_none() {
            return Ok(scrape);
        }
        let mut reckoned = scrape.clone();
        if let Err(error) = self.history.push(scrape, now_s) {
            self.voice.trouble("history", format!("{}: {error}", self.url)).await?;
        }
        let (mut valueless, mut wrong) = (None, Vec::new());
        for query in self.queries() {
            match query.value(&self.history) {
                Ok(Some(value)) => reckoned.put(query, value),
                Ok(None) => valueless = Some(query.text().to_owned()),
                Err(error) => wrong.push((query.text().to_owned(), format!("`{query}`: {error}"))),
            }
        }
        for (query, text) in wrong {
            self.voice.trouble(&query, text).await?;
        }
        self.valueless = if valueless.is_some() { self.valueless + 1 } else { 0 };
        if let Some(query) = valueless.filter(|_| self.valueless > VALUELESS_MAX) {
            let text = format!("`{query}` has no value at {}: no such series, or 0/0", self.url);
            self.voice.trouble("valueless", text).await?;
        }
        Ok(reckoned)
    }

    /// What is reckoned of a scrape: signals, and what of resources is more than a sum of series.
    fn queries(&self) -> impl Iterator<Item = &Query> {
        let roles = self.source.resources.values().flat_map(BTreeMap::values);
        roles.filter(|query| query.selector().is_none()).chain(self.source.signals.values())
    }

    /// Resources are looked for each time: a pool may come up after the first request.
    fn resources(&self, scrape: &Scrape) -> Result<Vec<Resource>, String> {
        let mut resources = Vec::new();
        for (name, roles) in &self.source.resources {
            resources.push(Resource::from_roles(name, roles, Figure::scraped)?);
        }
        if let Some(preset) = &self.source.preset {
            resources.extend(preset::discover(preset, scrape)?);
        }
        let signal = |(name, query): (&String, &Query)| Resource::signal(name, query);
        resources.extend(self.source.signals.iter().map(signal));
        Ok(resources)
    }
}
