//! The live feed: topics, who is subscribed to them, and the ticks they get. Topics tick at the dialled interval, each at
//! its own moment of it, so that many topics do not all tick at once.
//!
//! A tick's number is how many intervals have passed since 1970. So all replicas of a fleet, which share one calendar, send
//! the same tick under the same number at the same moment without a word between them, and a client that comes back to
//! another replica goes on counting where it was.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::clock;
use crate::lock::lock;
use crate::metrics::Metrics;

/// Parts the tick interval is divided into; a topic belongs to one of them.
const PHASES: usize = 50;
/// Characters of the longest id of a topic.
const ID_MAX_CHARS: usize = 64;
/// Ticks that may wait for a slow client; more are dropped and counted.
pub(crate) const OUTBOX_MAX: usize = 16;
/// Ticks of one topic that are sent late after the app was held up; an outbox holds no more.
const MISSED_MAX: u64 = 16;

/// What can be subscribed to: `("stock", "42")`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Topic {
    pub(crate) channel: &'static str,
    pub(crate) id: String,
}

/// The channels there are.
pub(crate) const CHANNELS: [&str; 3] = ["product", "stock", "order"];

impl Topic {
    /// # Errors
    /// What a channel or an id is, when this is none.
    pub(crate) fn new(channel: &str, id: &str) -> Result<Self, &'static str> {
        let Some(channel) = CHANNELS.into_iter().find(|known| *known == channel) else {
            return Err("channel is one of product, stock, order");
        };
        if id.is_empty() || id.chars().count() > ID_MAX_CHARS {
            return Err("id is from 1 to 64 characters long");
        }
        Ok(Self { channel, id: id.to_owned() })
    }
}

static LISTENERS: AtomicU64 = AtomicU64::new(0);

/// A number that no other socket or event stream of this process has.
pub(crate) fn listener_number() -> u64 {
    LISTENERS.fetch_add(1, Ordering::Relaxed)
}

/// All topics that someone listens to.
pub(crate) struct Hub {
    phases: Vec<Mutex<HashMap<Topic, Listeners>>>,
}

/// By the number of the socket or event stream.
type Listeners = HashMap<u64, mpsc::Sender<Utf8Bytes>>;

impl Default for Hub {
    fn default() -> Self {
        Self { phases: (0..PHASES).map(|_| Mutex::default()).collect() }
    }
}

impl Hub {
    /// Sends this topic's ticks to a socket from now on. Subscribing twice is the same as once.
    pub(crate) fn subscribe(&self, topic: Topic, socket: u64, outbox: mpsc::Sender<Utf8Bytes>) {
        self.topics(&topic).entry(topic).or_default().insert(socket, outbox);
    }

    /// Ends it. A topic without listeners is forgotten.
    pub(crate) fn unsubscribe(&self, topic: &Topic, socket: u64) {
        let mut topics = self.topics(topic);
        if let Some(listeners) = topics.get_mut(topic) {
            listeners.remove(&socket);
            if listeners.is_empty() {
                topics.remove(topic);
            }
        }
    }

    /// Sends ticks for ever.
    pub(crate) async fn tick(&self, interval: Duration, metrics: &Metrics) {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut moments = Moments::starting(clock::unix_ms(), interval_ms);
        loop {
            tokio::time::sleep(moments.until_next(clock::unix_ms())).await;
            let now_ms = clock::unix_ms();
            for (phase, seq) in moments.passed(now_ms) {
                let (sent, dropped) = tick_all(&mut lock(&self.phases[phase]), seq, now_ms);
                metrics.ticks.inc_by(sent);
                metrics.ticks_dropped.inc_by(dropped);
            }
        }
    }

    fn topics(&self, topic: &Topic) -> MutexGuard<'_, HashMap<Topic, Listeners>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(topic);
        lock(&self.phases[(hash % PHASES as u64) as usize])
    }
}

/// The moments at which some phase ticks, counted since 1970: [`PHASES`] of them to an interval.
struct Moments {
    interval_ms: u64,
    done: u64,
}

impl Moments {
    fn starting(now_ms: u64, interval_ms: u64) -> Self {
        Self { interval_ms, done: now_ms * PHASES as u64 / interval_ms }
    }

    /// How long it is to the first moment that is not done.
    fn until_next(&self, now_ms: u64) -> Duration {
        let next_ms = ((self.done + 1) * self.interval_ms).div_ceil(PHASES as u64);
        // The calendar may be set back; the feed then goes on with the next look, an interval later at most.
        Duration::from_millis(next_ms.saturating_sub(now_ms).min(self.interval_ms))
    }

    /// The moments that have passed since they were last asked for, as phase and number of the tick: none twice, and
    /// after a pause none left out but for what no outbox has room for anyway.
    fn passed(&mut self, now_ms: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let phases = PHASES as u64;
        let now = now_ms * phases / self.interval_ms;
        let from = (self.done + 1).max(now.saturating_sub(phases * MISSED_MAX));
        // A calendar that was set back by more than an interval is followed; ticks of that stretch come a second time.
        if now >= self.done || now + phases < self.done {
            self.done = now;
        }
        (from..=now).map(move |moment| ((moment % phases) as usize, moment / phases))
    }
}

/// Sends every topic this tick; how many messages were sent, and how many a full outbox had no room for.
fn tick_all(topics: &mut HashMap<Topic, Listeners>, seq: u64, now_ms: u64) -> (u64, u64) {
    let (mut sent, mut dropped) = (0, 0);
    for (topic, listeners) in topics {
        let (channel, id) = (topic.channel, &topic.id);
        let tick = json!({"type": "tick", "channel": channel, "id": id, "seq": seq, "sent_at_ms": now_ms});
        let tick = Utf8Bytes::from(tick.to_string());
        for outbox in listeners.values() {
            match outbox.try_send(tick.clone()) {
                Ok(()) => sent += 1,
                Err(_) => dropped += 1,
            }
        }
    }
    (sent, dropped)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::sync::mpsc;

    use proptest::prelude::proptest;

    use super::{Hub, MISSED_MAX, Moments, PHASES, Topic, tick_all};

    fn topic(id: &str) -> Topic {
        Topic { channel: "stock", id: id.to_owned() }
    }

    #[test]
    fn ticks_are_numbered_and_a_full_outbox_drops_them() {
        let (outbox, mut inbox) = mpsc::channel(2);
        let mut topics = HashMap::from([(topic("7"), HashMap::from([(1, outbox)]))]);
        assert_eq!(tick_all(&mut topics, 1, 5), (1, 0));
        assert_eq!(tick_all(&mut topics, 2, 6), (1, 0));
        assert_eq!(tick_all(&mut topics, 3, 7), (0, 1));
        insta::assert_snapshot!(
            inbox.try_recv().unwrap().as_str(),
            @r#"{"channel":"stock","id":"7","sent_at_ms":5,"seq":1,"type":"tick"}"#
        );
        inbox.try_recv().unwrap();
        assert_eq!(tick_all(&mut topics, 4, 8), (1, 0));
        assert!(inbox.try_recv().unwrap().as_str().contains("\"seq\":4"), "a dropped tick leaves a gap");
    }

    proptest! {
        #[test]
        fn every_phase_ticks_under_every_number_once_whoever_looks_when(
            start_ms in 1_700_000_000_000_u64..1_800_000_000_000, interval_ms in 10_u64..5_000,
            steps in proptest::collection::vec(1_u64..5_000, 1..40),
        ) {
            let mut moments = Moments::starting(start_ms, interval_ms);
            let (mut now_ms, mut last, mut count) = (start_ms, None, 0);
            for step in steps {
                now_ms += step.min(interval_ms * MISSED_MAX);
                for (phase, seq) in moments.passed(now_ms) {
                    let moment = seq * PHASES as u64 + phase as u64;
                    assert!(last.is_none_or(|last| moment == last + 1), "{last:?} {moment}");
                    last = Some(moment);
                    count += 1;
                }
                assert!(moments.until_next(now_ms).as_millis() as u64 <= interval_ms);
            }
            let spans = |ms: u64| ms * PHASES as u64 / interval_ms;
            assert_eq!(count, spans(now_ms) - spans(start_ms));
        }
    }

    #[test]
    fn a_calendar_that_jumps_is_followed_and_brings_no_flood() {
        let mut moments = Moments::starting(1_000_000_000, 1_000);
        assert_eq!(moments.passed(2_000_000_000).count() as u64, MISSED_MAX * PHASES as u64 + 1);
        assert_eq!(moments.passed(1_999_999_900).count(), 0);
        assert_eq!(moments.passed(2_000_000_020).count(), 1, "a small step back repeats nothing");
        assert_eq!(moments.passed(1_500_000_000).count(), 0);
        assert_eq!(moments.passed(1_500_001_000).count(), PHASES);
    }

    #[test]
    fn the_last_to_leave_takes_the_topic_along() {
        let hub = Hub::default();
        let (outbox, _inbox) = mpsc::channel(1);
        for socket in [1, 2, 2] {
            hub.subscribe(topic("7"), socket, outbox.clone());
        }
        hub.unsubscribe(&topic("7"), 1);
        assert_eq!(hub.topics(&topic("7"))[&topic("7")].len(), 1);
        hub.unsubscribe(&topic("7"), 2);
        assert!(hub.topics(&topic("7")).is_empty());
        hub.unsubscribe(&topic("7"), 2);
    }
}
