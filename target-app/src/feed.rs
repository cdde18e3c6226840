//! The live feed: topics, who is subscribed to them, and the ticks they get. Topics tick at the dialled interval, each at
//! its own moment of it, so that many topics do not all tick at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::clock;
use crate::metrics::Metrics;

/// Parts the tick interval is divided into; a topic belongs to one of them.
const PHASES: usize = 50;
/// Longest id of a topic.
const ID_MAX_BYTES: usize = 64;
/// Ticks that may wait for a slow client; more are dropped and counted.
pub(crate) const OUTBOX_MAX: usize = 16;

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
        if id.is_empty() || id.len() > ID_MAX_BYTES {
            return Err("id is from 1 to 64 bytes long");
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

#[derive(Default)]
struct Listeners {
    seq: u64,
    /// By the number of the socket or event stream.
    sockets: HashMap<u64, mpsc::Sender<Utf8Bytes>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { phases: (0..PHASES).map(|_| Mutex::default()).collect() }
    }
}

impl Hub {
    /// Sends this topic's ticks to a socket from now on. Subscribing twice is the same as once.
    pub(crate) fn subscribe(&self, topic: Topic, socket: u64, outbox: mpsc::Sender<Utf8Bytes>) {
        self.topics(&topic).entry(topic).or_default().sockets.insert(socket, outbox);
    }

    /// Ends it. A topic without listeners is forgotten, and starts its count anew.
    pub(crate) fn unsubscribe(&self, topic: &Topic, socket: u64) {
        let mut topics = self.topics(topic);
        if let Some(listeners) = topics.get_mut(topic) {
            listeners.sockets.remove(&socket);
            if listeners.sockets.is_empty() {
                topics.remove(topic);
            }
        }
    }

    /// Sends ticks for ever.
    pub(crate) async fn tick(&self, interval: Duration, metrics: &Metrics) {
        let mut moments = tokio::time::interval(interval / u32::try_from(PHASES).unwrap_or(1));
        moments.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for phase in self.phases.iter().cycle() {
            moments.tick().await;
            let (sent, dropped) = tick_all(&mut lock(phase), clock::unix_ms());
            metrics.ticks.inc_by(sent);
            metrics.ticks_dropped.inc_by(dropped);
        }
    }

    fn topics(&self, topic: &Topic) -> MutexGuard<'_, HashMap<Topic, Listeners>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(topic);
        lock(&self.phases[(hash % PHASES as u64) as usize])
    }
}

/// Ticks every topic once; how many messages were sent, and how many a full outbox had no room for.
fn tick_all(topics: &mut HashMap<Topic, Listeners>, now_ms: u64) -> (u64, u64) {
    let (mut sent, mut dropped) = (0, 0);
    for (topic, listeners) in topics {
        listeners.seq += 1;
        let (channel, id, seq) = (topic.channel, &topic.id, listeners.seq);
        let tick = json!({"type": "tick", "channel": channel, "id": id, "seq": seq, "sent_at_ms": now_ms});
        let tick = Utf8Bytes::from(tick.to_string());
        for outbox in listeners.sockets.values() {
            match outbox.try_send(tick.clone()) {
                Ok(()) => sent += 1,
                Err(_) => dropped += 1,
            }
        }
    }
    (sent, dropped)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::sync::mpsc;

    use super::{Hub, Listeners, Topic, tick_all};

    fn topic(id: &str) -> Topic {
        Topic { channel: "stock", id: id.to_owned() }
    }

    #[test]
    fn ticks_are_numbered_and_a_full_outbox_drops_them() {
        let (outbox, mut inbox) = mpsc::channel(2);
        let listeners = Listeners { seq: 0, sockets: HashMap::from([(1, outbox)]) };
        let mut topics = HashMap::from([(topic("7"), listeners)]);
        assert_eq!(tick_all(&mut topics, 5), (1, 0));
        assert_eq!(tick_all(&mut topics, 6), (1, 0));
        assert_eq!(tick_all(&mut topics, 7), (0, 1));
        insta::assert_snapshot!(
            inbox.try_recv().unwrap().as_str(),
            @r#"{"channel":"stock","id":"7","sent_at_ms":5,"seq":1,"type":"tick"}"#
        );
        inbox.try_recv().unwrap();
        assert_eq!(tick_all(&mut topics, 8), (1, 0));
        assert!(inbox.try_recv().unwrap().as_str().contains("\"seq\":4"), "a dropped tick leaves a gap");
    }

    #[test]
    fn the_last_to_leave_takes_the_topic_along() {
        let hub = Hub::default();
        let (outbox, _inbox) = mpsc::channel(1);
        for socket in [1, 2, 2] {
            hub.subscribe(topic("7"), socket, outbox.clone());
        }
        hub.unsubscribe(&topic("7"), 1);
        assert_eq!(hub.topics(&topic("7"))[&topic("7")].sockets.len(), 1);
        hub.unsubscribe(&topic("7"), 2);
        assert!(hub.topics(&topic("7")).is_empty());
        hub.unsubscribe(&topic("7"), 2);
    }
}
