//! The probing tasks: each reads one source at its interval and turns pairs of looks into readings. They run beside the coordinator, never
//! on a shard, and what is wrong with a source is told once, not every second.

mod queries;
mod scrapes;

use super::target::Target;
use crate::clock::Clock;
use crate::limits::READINGS_QUEUE_MAX;
use crate::record::rows::SaturationRow;
use crate::record::summary::Warning;
use crate::scenario::plan::{Observe, ObserveSource, Whence};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a source says.
#[derive(Debug)]
pub(super) enum Observed {
    Readings(Vec<SaturationRow>),
    /// Something is wrong with it, or is so no more: a sentence for the events.
    Said(String),
    Lost(Loss),
}

/// What there could have been a reading of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The source could not be read.
    Look,
    /// The counters of a resource began anew.
    Reset,
}

/// How much was lost in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    looks: u64,
    resets: u64,
}

impl Losses {
    pub(super) fn count(&mut self, loss: Loss) {
        match loss {
            Loss::Look => self.looks += 1,
            Loss::Reset => self.resets += 1,
        }
    }

    /// What the record says of it.
    pub(super) fn warning(self) -> Option<Warning> {
        let Self { looks, resets } = self;
        (looks + resets > 0).then(|| Warning {
            code: "readings_missing".into(),
            text: format!(
                "sources of `observe` could not be read {looks} times, and counters of a resource began anew {resets} times; nothing is known of \
                 the time between the readings around"
            ),
            remedy: "see the events `probe` for what was wrong and when".into(),
        })
    }
}

/// Where a task of a source says what it finds.
struct Voice {
    out: mpsc::Sender<Observed>,
    /// What is wrong at present.
    troubles: BTreeSet<String>,
}

/// Nobody listens any more.
struct Deaf;

impl Voice {
    async fn say(&self, what: Observed) -> Result<(), Deaf> {
        self.out.send(what).await.map_err(|_| Deaf)
    }

    /// Tells what is wrong with `what`, unless that was told already.
    async fn trouble(&mut self, what: &str, text: String) -> Result<(), Deaf> {
        if self.troubles.insert(what.to_owned()) { self.say(Observed::Said(text)).await } else { Ok(()) }
    }

    /// Tells that `what` is well again, if it was not.
    async fn well(&mut self, what: &str, text: impl FnOnce() -> String) -> Result<(), Deaf> {
        if self.troubles.remove(what) { self.say(Observed::Said(text())).await } else { Ok(()) }
    }
}

/// Starts a task for each source. The receiver ends when there is none.
pub(super) fn start(observe: &Observe, target: &Target, clock: Clock) -> mpsc::Receiver<Observed> {
    let (out, readings) = mpsc::channel(READINGS_QUEUE_MAX);
    let mut sources = observe.sources.clone();
    if observe.defaulted && target.bundled_url.is_some() {
        sources.push(ObserveSource {
            name: "target-app".into(),
            whence: Whence::Bundled,
            every: Duration::from_secs(1),
            preset: Some("auto".into()),
            resources: Default::default(),
            signals: Default::default(),
        });
    }
    let client = match client(target) {
        Ok(client) => client,
        Err(error) => {
            let _ = out.try_send(Observed::Said(format!("observe: no HTTP client: {error}")));
            return readings;
        }
    };
    for source in sources {
        let voice = Voice { out: out.clone(), troubles: BTreeSet::new() };
        match (source.whence.clone(), &target.bundled_url) {
            (Whence::Scrape(url), _) => {
                tokio::spawn(scrapes::watch(source, url, client.clone(), clock, voice));
            }
            (Whence::Bundled, Some(base)) => {
                let url = format!("{base}/metrics");
                tokio::spawn(scrapes::watch(source, url, client.clone(), clock, voice));
            }
            (Whence::Bundled, None) => {
                let text =
                    format!("observe: `{}` says no address, and there is no bundled target", source.name);
                let _ = out.try_send(Observed::Said(text));
            }
            (Whence::Prometheus(url), _) => {
                tokio::spawn(queries::watch(source, url, client.clone(), clock, voice));
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

/// A timer of the source's interval; what could not be read in time is not made up for.
fn interval(every: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    interval
}

#[cfg(test)]
mod tests;
