//! A source that is scraped.

use super::{Deaf, LAG_TOLD_S, Loss, Observed, Voice, interval};
use crate::clock::Clock;
use crate::probe::history::History;
use crate::probe::preset;
use crate::probe::prometheus::{self, Scrape};
use crate::probe::resource::{Figure, Reading, Resource};
use crate::promql::Query;
use crate::record::rows::SaturationRow;
use crate::scenario::plan::ObserveSource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// A scrape, and when it was taken on the clock of the run.
type Look = (Arc<Scrape>, f64);

/// One source and what is kept of it from one scrape to the next.
pub(super) struct Scrapes {
    source: ObserveSource,
    url: String,
    voice: Voice,
    /// What is reckoned of a scrape: signals, and what of resources is more than a sum of series.
    queries: Arc<[Query]>,
    history: History,
    before: Option<Look>,
    /// For resources that told nothing newer at the last look: the one since when they grow.
    waiting: BTreeMap<String, Look>,
    /// Resources whose limit has moved: it is none, also while it rests.
    adapted: BTreeSet<String>,
}

impl Scrapes {
    pub(super) fn of(source: ObserveSource, url: String, voice: Voice) -> Self {
        let roles = source.resources.values().flat_map(BTreeMap::values);
        let reckoned = roles.filter(|query| query.selector().is_none()).chain(source.signals.values());
        let queries: Arc<[Query]> = reckoned.cloned().collect();
        let history = History::of(queries.iter());
        let (waiting, adapted) = (BTreeMap::new(), BTreeSet::new());
        Self { source, url, voice, queries, history, before: None, waiting, adapted }
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
        if scrape.stale() > 0 {
            let text = format!(
                "{} series of {url} carry a time more than five minutes ago, or ten ahead: they are passed over, as Prometheus does",
                scrape.stale()
            );
            self.voice.trouble("stale", text).await?;
        }
        let scrape = self.reckoned(scrape, now_s).await?;
        let resources = match self.resources(&scrape).await? {
            Ok(resources) => resources,
            Err(text) => return self.voice.trouble("resources", text).await,
        };
        let before = self.before.take();
        let scrape = Arc::new(match &before {
            Some((earlier, _)) => scrape.after(earlier),
            None => scrape,
        });
        self.before = Some((Arc::clone(&scrape), now_s));
        let Some(before) = before else { return Ok(()) };
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut rows: Vec<SaturationRow> = Vec::new();
        for resource in &resources {
            let (earlier, earlier_s) = waiting.remove(&resource.name).unwrap_or_else(|| before.clone());
            match resource.reading((&earlier, earlier_s), (&scrape, now_s)) {
                Reading::Row(mut row) => {
                    if resource.is_adapted(&row) {
                        self.adapted.insert(row.resource.clone());
                    } else if self.adapted.contains(&row.resource) {
                        (row.limit, row.utilization) = (None, None);
                    }
                    let Some(lag) = resource.lag(&earlier, &scrape) else {
                        rows.extend((row.t_s > 0.0).then_some(row));
                        continue;
                    };
                    if lag.age_s > LAG_TOLD_S {
                        let text = format!(
                            "what {url} tells of {} is {:.1} s old when it is asked",
                            row.resource, lag.age_s
                        );
                        self.voice.trouble(&format!("lag of {}", row.resource), text).await?;
                    }
                    self.voice.came_on(&row.resource, now_s).await?;
                    // What was before the run began is none of its readings.
                    if row.t_s > 0.0 {
                        self.voice.read_late(row, lag).await?;
                    }
                }
                Reading::AsBefore => {
                    self.voice.stands_still(&resource.name, &url, now_s).await?;
                    self.waiting.insert(resource.name.clone(), (earlier, earlier_s));
                }
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
        self.voice.read(rows).await
    }

    /// The scrape with the values of the queries in it, each under its text.
    async fn reckoned(&mut self, scrape: Scrape, now_s: f64) -> Result<Scrape, Deaf> {
        if self.queries.is_empty() {
            return Ok(scrape);
        }
        let (queries, mut history) = (self.queries.clone(), std::mem::take(&mut self.history));
        let mut reckoned = scrape.clone();
        // Much history takes a while, and the thread that coordinates the run has others to serve.
        let done = tokio::task::spawn_blocking(move || {
            let pushed = history.push(scrape, now_s);
            let values: Vec<_> = queries.iter().map(|query| history.value(query)).collect();
            (history, pushed, values)
        });
        let values = match done.await {
            Ok((history, pushed, values)) => {
                self.history = history;
                if let Err(error) = pushed {
                    self.voice.trouble("history", format!("{}: {error}", self.url)).await?;
                }
                values
            }
            Err(error) => {
                self.history = History::of(self.queries.iter());
                self.voice.trouble("history", format!("{}: {error}", self.url)).await?;
                return Ok(reckoned);
            }
        };
        for (query, value) in self.queries.clone().iter().zip(values) {
            let url = self.url.clone();
            let nothing = || format!("`{query}` has no value at {url}: no such series, or 0/0");
            match value {
                Ok(Some((value, told))) => {
                    reckoned.put(query, value, told);
                    self.voice.heed(query.text(), true, nothing).await?;
                }
                Ok(None) => self.voice.heed(query.text(), false, nothing).await?,
                Err(error) => {
                    self.voice.trouble(&format!("error of {query}"), format!("`{query}`: {error}")).await?;
                }
            }
        }
        Ok(reckoned)
    }

    /// Resources are looked for each time: a pool may come up after the first request. Each name is told once, and by one source.
    async fn resources(&mut self, scrape: &Scrape) -> Result<Result<Vec<Resource>, String>, Deaf> {
        let mut resources = Vec::new();
        for (name, roles) in self.source.resources.clone() {
            for (role, query) in &roles {
                let Some(selector) = query.selector() else { continue };
                let value = scrape.get(selector);
                let there =
                    value.is_some_and(|value| value.is_finite() || (role == "limit" && !value.is_nan()));
                let url = self.url.clone();
                let nothing =
                    || format!("`{query}`, the `{role}` of {name}, is not at {url}, or is no number");
                self.voice.heed(&format!("{role} of {name}"), there, nothing).await?;
            }
            match Resource::from_roles(&name, &roles, Figure::scraped) {
                Ok(resource) => resources.push(resource),
                Err(text) => return Ok(Err(text)),
            }
        }
        let signal = |(name, query): (&String, &Query)| Resource::signal(name, query);
        resources.extend(self.source.signals.iter().map(signal));
        if let Some(preset) = self.source.preset.clone() {
            let found = match preset::discover(&preset, scrape) {
                Ok(found) => found,
                Err(text) => return Ok(Err(text)),
            };
            let url = self.url.clone();
            let nothing =
                || format!("the preset `{preset}` finds nothing at {url}: is it the page of what you mean?");
            self.voice.heed(&format!("preset {preset}"), !found.is_empty(), nothing).await?;
            for mut resource in found {
                let name = self.voice.names.found(&self.voice.source, resource.name);
                let twice = resources.iter().any(|other: &Resource| other.name == name);
                let other = self.voice.names.taken(&self.voice.source, &name);
                if let Some(owner) = other.or_else(|| twice.then(|| self.voice.source.clone())) {
                    let text = format!(
                        "{} tells of {name}, which is told by `{owner}` already: what comes second is left out",
                        self.url
                    );
                    self.voice.trouble(&format!("name {name}"), text).await?;
                } else {
                    resource.name = name;
                    resources.push(resource);
                }
            }
        }
        Ok(Ok(resources))
    }
}
