//! The probing tasks: each reads one source at its interval and turns pairs of looks into readings. They run beside the coordinator, never
//! on a shard, and what is wrong with a source is told once, not every second.

mod names;
mod queries;
mod scrapes;

use names::Names;

use super::target::Target;
use crate::clock::Clock;
use crate::limits::{READINGS_QUEUE_MAX, SCRAPE_TIMEOUT};
use crate::probe::resource::Lag;
use crate::record::rows::SaturationRow;
use crate::record::summary::Warning;
use crate::scenario::plan::{Observe, ObserveSource, Whence};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;

/// For how long a reading stands for the present where sources are read every second.
const STANDS_FOR_MIN: Duration = Duration::from_secs(3);
/// How much longer where a Prometheus server knows of it: it scrapes once a minute unless told otherwise.
const SERVER_LAG_MAX: Duration = Duration::from_secs(60);

/// Samples that are older than this are spoken of: whoever watches a run should know how far behind they are.
const LAG_TOLD_S: f64 = 2.0;

/// Looks in a row that find nothing of something before that is told: labels come with what happens first.
const VALUELESS_MAX: u32 = 5;

/// How many usual distances of its times a source may stand still before that is told.
const USUAL_TIMES_MAX: f64 = 3.0;
/// For how long a page may where that distance is not known yet: what is handed on of others is often scraped four times a minute.
const STILL_MIN: Duration = Duration::from_secs(15);

/// What a source says.
#[derive(Debug)]
pub(super) enum Observed {
    /// Readings, and for how long each stands for the present.
    Readings {
        rows: Vec<SaturationRow>,
        stands_for: Duration,
    },
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
    /// How often in a row there was nothing to be had of each.
    valueless: BTreeMap<String, u32>,
    /// Of the source that speaks.
    source: String,
    names: Names,
    every: Duration,
    /// By how much what it says may be late, as is known before it is asked.
    lag: Duration,
    stands_for: Duration,
    /// When something new was told of each name last, and how long that took; in seconds of the run.
    told: BTreeMap<String, (f64, Option<f64>)>,
}

/// Nobody listens any more.
struct Deaf;

impl Voice {
    fn of(source: &ObserveSource, names: &Names, out: mpsc::Sender<Observed>) -> Self {
        let lag =
            if matches!(source.whence, Whence::Prometheus(_)) { SERVER_LAG_MAX } else { Duration::ZERO };
        // Fresh until the next is overdue.
        let stands_for = STANDS_FOR_MIN.max(source.every + SCRAPE_TIMEOUT + lag);
        Self {
            out,
            troubles: BTreeSet::new(),
            valueless: BTreeMap::new(),
            source: source.name.clone(),
            names: names.clone(),
            every: source.every,
            lag,
            stands_for,
            told: BTreeMap::new(),
        }
    }

    async fn read(&self, rows: Vec<SaturationRow>) -> Result<(), Deaf> {
        self.say(Observed::Readings { rows, stands_for: self.stands_for }).await
    }

    /// A reading of the time that the page itself gives: the next is as old when it comes, and as far from this one.
    async fn read_late(&self, row: SaturationRow, lag: Lag) -> Result<(), Deaf> {
        let late = Duration::try_from_secs_f64(lag.age_s + lag.since_s).unwrap_or(SERVER_LAG_MAX);
        let stands_for = self.stands_for + late.min(SERVER_LAG_MAX);
        self.say(Observed::Readings { rows: vec![row], stands_for }).await
    }

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

    /// Tells what there has been nothing of for a while, and that there is something again.
    async fn heed(&mut self, what: &str, there: bool, nothing: impl FnOnce() -> String) -> Result<(), Deaf> {
        if there {
            self.valueless.remove(what);
            let source = self.source.clone();
            return self.well(what, || format!("{source} tells of `{what}` again")).await;
        }
        let looks = self.valueless.entry(what.to_owned()).or_default();
        *looks = looks.saturating_add(1);
        if *looks > VALUELESS_MAX { self.trouble(what, nothing()).await } else { Ok(()) }
    }
}

/// Times that stand still.
impl Voice {
    /// Something newer was told of `name`.
    async fn came_on(&mut self, name: &str, now_s: f64) -> Result<(), Deaf> {
        let since_s = self.told.get(name).map(|(at_s, _)| now_s - at_s);
        self.told.insert(name.to_owned(), (now_s, since_s));
        let source = self.source.clone();
        self.well(&format!("time of {name}"), || format!("{source} tells of `{name}` again")).await
    }

    /// What is told of `name` is of the same time as before. That is so between two scrapes of whoever is asked; past a few it is told.
    async fn stands_still(&mut self, name: &str, url: &str, now_s: f64) -> Result<(), Deaf> {
        let (at_s, usual_s) = *self.told.entry(name.to_owned()).or_insert((now_s, None));
        let usual_s =
            usual_s.map_or(self.lag.max(STILL_MIN).as_secs_f64(), |usual_s| usual_s * USUAL_TIMES_MAX);
        let looks_s = self.every.as_secs_f64() * f64::from(VALUELESS_MAX);
        let still_s = now_s - at_s;
        if still_s <= usual_s.max(looks_s) {
            return Ok(());
        }
        let text = format!(
            "{url} has told the same time of {name} for {still_s:.0} s: there is no reading until it comes on"
        );
        self.trouble(&format!("time of {name}"), text).await
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
    let names = Names::of(&sources);
    for source in sources {
        let voice = Voice::of(&source, &names, out.clone());
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
