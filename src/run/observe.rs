//! The probing task: scrapes every source at its interval and turns pairs of scrapes into readings. It runs beside the coordinator, never
//! on a shard, and a source that does not answer is told once, not every second.

use super::target::Target;
use crate::clock::Clock;
use crate::limits::READINGS_QUEUE_MAX;
use crate::probe::preset;
use crate::probe::prometheus::{self, Scrape};
use crate::probe::resource::Resource;
use crate::record::rows::SaturationRow;
use crate::scenario::plan::{Observe, ObserveSource};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a source says.
#[derive(Debug)]
pub(super) enum Observed {
    Readings(Vec<SaturationRow>),
    /// It could not be read, or can be again: a sentence for the events.
    Trouble(String),
}

/// Starts a task for each source. The receiver ends when there is none.
pub(super) fn start(observe: &Observe, target: &Target, clock: Clock) -> mpsc::Receiver<Observed> {
    let (out, readings) = mpsc::channel(READINGS_QUEUE_MAX);
    let mut sources = observe.sources.clone();
    if observe.defaulted && target.bundled_url.is_some() {
        sources.push(ObserveSource {
            name: "target-app".into(),
            scrape: None,
            every: Duration::from_secs(1),
            preset: Some("auto".into()),
            resources: Default::default(),
        });
    }
    let client = client(target);
    for source in sources {
        let url = match (&source.scrape, &target.bundled_url) {
            (Some(url), _) => url.clone(),
            (None, Some(base)) => format!("{base}/metrics"),
            (None, None) => {
                let text = format!(
                    "observe: `{}` has no `scrape` address, and there is no bundled target",
                    source.name
                );
                let _ = out.try_send(Observed::Trouble(text));
                continue;
            }
        };
        match &client {
            Ok(client) => {
                tokio::spawn(watch(source, url, client.clone(), clock, out.clone()));
            }
            Err(error) => {
                let _ = out.try_send(Observed::Trouble(format!("observe: no HTTP client: {error}")));
            }
        }
    }
    readings
}

/// Trusts what the machine trusts, and the certificate that a bundled target made.
fn client(target: &Target) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder().no_proxy();
    for der in target.http.iter().flat_map(|destination| &destination.trusted) {
        builder = builder.tls_certs_merge([reqwest::Certificate::from_der(der)?]);
    }
    builder.build()
}

async fn watch(
    source: ObserveSource,
    url: String,
    client: reqwest::Client,
    clock: Clock,
    out: mpsc::Sender<Observed>,
) {
    let mut interval = tokio::time::interval(source.every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut before: Option<(Scrape, f64)> = None;
    let mut troubled = false;
    loop {
        interval.tick().await;
        let fetched = prometheus::fetch(&client, &url).await;
        let now_s = clock.now() as f64 / 1e9;
        let told = match fetched {
            Ok(scrape) => {
                let rows = read(&source, before.as_ref(), (&scrape, now_s));
                before = Some((scrape, now_s));
                match rows {
                    Ok(rows) if troubled => {
                        troubled = false;
                        Observed::Trouble(format!("{url} answers again; {} resources", rows.len()))
                    }
                    Ok(rows) => Observed::Readings(rows),
                    Err(_) if troubled => continue,
                    Err(text) => {
                        troubled = true;
                        Observed::Trouble(text)
                    }
                }
            }
            Err(_) if troubled => continue,
            Err(error) => {
                troubled = true;
                Observed::Trouble(format!("{error}; readings are missing until it answers"))
            }
        };
        if out.send(told).await.is_err() {
            return;
        }
    }
}

/// The readings between two scrapes. Resources are looked for each time: a pool may come up after the first request.
fn read(
    source: &ObserveSource,
    before: Option<&(Scrape, f64)>,
    now: (&Scrape, f64),
) -> Result<Vec<SaturationRow>, String> {
    let mut resources: Vec<Resource> = Vec::new();
    for (name, roles) in &source.resources {
        resources.push(Resource::from_roles(name, roles)?);
    }
    if let Some(preset) = &source.preset {
        resources.extend(preset::discover(preset, now.0)?);
    }
    let Some((earlier, earlier_s)) = before else { return Ok(Vec::new()) };
    Ok(resources.iter().filter_map(|resource| resource.reading((earlier, *earlier_s), now)).collect())
}
