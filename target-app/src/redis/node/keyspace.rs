//! What a node keeps: strings by key, each for a while or for ever, in bounded memory. When there is no more room, whatever was not asked for
//! the longest goes (`maxmemory-policy allkeys-lru`). A key whose time is over is gone for everyone who asks, and its memory when someone does.

use std::time::{Duration, Instant};

use lru::LruCache;

/// What a key costs beside its bytes: about what Redis needs for a small string and its place in the table.
const ENTRY_BYTES: usize = 96;

pub(super) struct Keyspace {
    entries: LruCache<Vec<u8>, Entry>,
    used_bytes: usize,
    max_bytes: usize,
    pub(super) figures: Figures,
}

/// What has become of keys so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

struct Entry {
    value: Vec<u8>,
    ends: Option<Instant>,
}

/// When a `SET` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    /// `NX`.
    IfMissing,
    /// `XX`.
    IfThere,
}

/// What is left of the time of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeLeft {
    NoKey,
    ForEver,
    Ms(u64),
}

/// The value of the key is no whole number, or would not be one any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoInteger;

impl Keyspace {
    pub(super) fn of(max_bytes: usize) -> Self {
        Self { entries: LruCache::unbounded(), used_bytes: 0, max_bytes, figures: Figures::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// A read, which counts as a hit or a miss.
    pub(super) fn get(&mut self, key: &[u8], now: Instant) -> Option<&[u8]> {
        if self.living(key, now).is_some() {
            self.figures.hits += 1;
        } else {
            self.figures.misses += 1;
        }
        self.entries.peek(key).map(|entry| entry.value.as_slice())
    }

    /// Whether it was set.
    pub(super) fn set(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
        lasts: Option<Duration>,
        condition: Condition,
        now: Instant,
    ) -> bool {
        let there = self.living(&key, now).is_some();
        let sets = match condition {
            Condition::Always => true,
            Condition::IfMissing => !there,
            Condition::IfThere => there,
        };
        if sets {
            self.put(key, Entry { value, ends: lasts.map(|lasts| now + lasts) });
        }
        sets
    }

    /// How many there were.
    pub(super) fn delete(&mut self, keys: &[Vec<u8>], now: Instant) -> usize {
        keys.iter().filter(|key| self.living(key, now).is_some() && self.remove(key)).count()
    }

    /// The sum; a missing key is zero and then lasts for ever.
    pub(super) fn add(&mut self, key: Vec<u8>, by: i64, now: Instant) -> Result<i64, NoInteger> {
        let (old, ends) = match self.living(&key, now) {
            None => (0, None),
            Some(entry) => {
                let text = std::str::from_utf8(&entry.value).map_err(|_| NoInteger)?;
                (text.parse().map_err(|_| NoInteger)?, entry.ends)
            }
        };
        let sum: i64 = i64::checked_add(old, by).ok_or(NoInteger)?;
        self.put(key, Entry { value: sum.to_string().into_bytes(), ends });
        Ok(sum)
    }

    pub(super) fn time_left(&mut self, key: &[u8], now: Instant) -> TimeLeft {
        match self.living(key, now) {
            None => TimeLeft::NoKey,
            Some(Entry { ends: None, .. }) => TimeLeft::ForEver,
            Some(Entry { ends: Some(ends), .. }) => {
                TimeLeft::Ms(u64::try_from(ends.duration_since(now).as_millis()).unwrap_or(u64::MAX))
            }
        }
    }

    /// Whether there is such a key.
    pub(super) fn expire(&mut self, key: &[u8], lasts: Duration, now: Instant) -> bool {
        let Some(entry) = self.living(key, now) else { return false };
        entry.ends = Some(now + lasts);
        true
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.used_bytes = 0;
    }

    /// The entry if its time is not over, asked for just now.
    fn living(&mut self, key: &[u8], now: Instant) -> Option<&mut Entry> {
        if self.entries.peek(key)?.ends.is_some_and(|ends| ends <= now) {
            self.remove(key);
            self.figures.expired += 1;
            return None;
        }
        self.entries.get_mut(key)
    }

    fn put(&mut self, key: Vec<u8>, entry: Entry) {
        self.remove(&key);
        self.used_bytes += cost(&key, &entry);
        self.entries.put(key, entry);
        while self.used_bytes > self.max_bytes
            && let Some((key, entry)) = self.entries.pop_lru()
        {
            self.used_bytes -= cost(&key, &entry);
            self.figures.evicted += 1;
        }
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.pop_entry(key) else { return false };
        self.used_bytes -= cost(&key, &entry);
        true
    }
}

fn cost(key: &[u8], entry: &Entry) -> usize {
    ENTRY_BYTES + key.len() + entry.value.len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Condition, ENTRY_BYTES, Keyspace, NoInteger, TimeLeft};
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    fn key(name: &str) -> Vec<u8> {
        name.as_bytes().to_vec()
    }

    #[test]
    fn a_key_is_there_until_its_time_is_over() {
        let (mut keys, now) = (Keyspace::of(1 << 20), clock::now());
        assert!(keys.set(key("a"), key("1"), Some(10 * MS), Condition::Always, now));
        assert!(!keys.set(key("a"), key("2"), None, Condition::IfMissing, now));
        assert_eq!(keys.get(b"a", now + 9 * MS), Some(b"1".as_slice()));
        assert_eq!(keys.time_left(b"a", now + 4 * MS), TimeLeft::Ms(6));
        assert!(keys.expire(b"a", 20 * MS, now));
        assert_eq!(keys.time_left(b"a", now + 10 * MS), TimeLeft::Ms(10));
        assert_eq!(keys.get(b"a", now + 20 * MS), None);
        assert!(!keys.set(key("a"), key("2"), None, Condition::IfThere, now + 20 * MS));
        assert!(!keys.expire(b"a", MS, now + 20 * MS));
        assert_eq!(keys.time_left(b"a", now + 20 * MS), TimeLeft::NoKey);
        let figures = keys.figures;
        assert_eq!((figures.hits, figures.misses, figures.expired, keys.used_bytes()), (1, 1, 1, 0));
    }

    #[test]
    fn sums_keep_the_time_of_their_key_and_refuse_what_is_no_number() {
        let (mut keys, now) = (Keyspace::of(1 << 20), clock::now());
        assert_eq!(keys.add(key("n"), 2, now), Ok(2));
        assert_eq!(keys.time_left(b"n", now), TimeLeft::ForEver);
        assert!(keys.expire(b"n", 10 * MS, now));
        assert_eq!(keys.add(key("n"), -5, now + MS), Ok(-3));
        assert_eq!(keys.time_left(b"n", now + MS), TimeLeft::Ms(9));
        keys.set(key("n"), i64::MAX.to_string().into_bytes(), None, Condition::Always, now);
        assert_eq!(keys.add(key("n"), 1, now), Err(NoInteger));
        keys.set(key("n"), key("x"), None, Condition::Always, now);
        assert_eq!(keys.add(key("n"), 1, now), Err(NoInteger));
    }

    #[test]
    fn when_there_is_no_room_what_was_not_asked_for_the_longest_goes() {
        let one = ENTRY_BYTES + 2;
        let (mut keys, now) = (Keyspace::of(3 * one), clock::now());
        for name in ["a", "b", "c"] {
            keys.set(key(name), key("x"), None, Condition::Always, now);
        }
        assert!(keys.get(b"a", now).is_some());
        keys.set(key("d"), key("x"), None, Condition::Always, now);
        assert!(keys.get(b"b", now).is_none() && keys.get(b"a", now).is_some());
        assert_eq!((keys.len(), keys.used_bytes(), keys.figures.evicted), (3, 3 * one, 1));
        assert_eq!(keys.delete(&[key("a"), key("b"), key("c")], now), 2);
        keys.clear();
        assert_eq!((keys.len(), keys.used_bytes()), (0, 0));
    }
}
