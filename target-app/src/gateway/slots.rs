//! The connections of one nginx worker. `worker_connections` is a table of so many slots, and every connection takes one: a
//! client's from the moment it is accepted, and one to a replica for as long as it is open, whether a request is on it or it is
//! kept for the next. What happens when the slots run out is what nginx does (`ngx_get_connection` and
//! `ngx_drain_connections` in `src/core/ngx_connection.c`):
//!
//! - Whoever wants a slot while no more than a sixteenth is free first has a few clients closed that wait for nothing but
//!   their own next request, those who have waited longest: an eighth of them, at least one and at most 32.
//! - If none is free even so, there is no slot: an accepted client is closed without a word, and a request that needs a
//!   connection to a replica fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntCounter;
use tokio::sync::Notify;

/// Closing begins when no more than this part of the slots is free.
const FREE_PART: usize = 16;
/// Of those who wait, this part is closed at a time.
const CLOSED_PART: usize = 8;
const CLOSED_MAX: usize = 32;

/// What a connection is at, in the words of nginx's stub_status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// A client whose next request has not begun to arrive: it can be closed.
    Waiting,
    /// A client whose request is arriving.
    Reading,
    /// A client whose request is answered, tunnels included.
    Writing,
    /// A connection to a replica.
    Upstream,
}

/// How many connections are at what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) waiting: usize,
    pub(super) reading: usize,
    pub(super) writing: usize,
    pub(super) upstream: usize,
}

impl Census {
    pub(super) fn clients(self) -> usize {
        self.waiting + self.reading + self.writing
    }
}

/// All slots of the worker.
pub(super) struct Slots {
    max: usize,
    table: Mutex<Table>,
    /// Clients that were closed for the sake of others.
    reused: IntCounter,
    emptied: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Taken>,
    /// Those that can be closed, longest waiting first.
    waiting: BTreeMap<u64, u64>,
    clients: usize,
}

struct Taken {
    doing: Doing,
    /// Its place among those that wait.
    turn: Option<u64>,
    close: Arc<Notify>,
}

/// One taken slot, free again when this is dropped, or before, when its client had to make room.
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    close: Arc<Notify>,
}

impl Slots {
    pub(super) fn new(max: usize, reused: IntCounter) -> Arc<Self> {
        Arc::new(Self { max, table: Mutex::default(), reused, emptied: Notify::new() })
    }

    /// A slot for a connection that is just opened, if there is one.
    pub(super) fn take(self: &Arc<Self>, doing: Doing) -> Option<Slot> {
        let mut table = self.table();
        self.reused.inc_by(table.make_room(self.max));
        if table.taken.len() >= self.max {
            return None;
        }
        let number = table.number();
        let close = Arc::new(Notify::new());
        table.clients += usize::from(doing != Doing::Upstream);
        table.taken.insert(number, Taken { doing, turn: None, close: Arc::clone(&close) });
        table.set(number, doing);
        Some(Slot { slots: Arc::clone(self), number, close })
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for taken in self.table().taken.values() {
            let of = match taken.doing {
                Doing::Waiting => &mut census.waiting,
                Doing::Reading => &mut census.reading,
                Doing::Writing => &mut census.writing,
                Doing::Upstream => &mut census.upstream,
            };
            *of += 1;
        }
        census
    }

    /// Waits until no client is left.
    pub(super) async fn drained(&self) {
        while self.table().clients > 0 {
            self.emptied.notified().await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Numbers of connections and turns of those that wait come from one count.
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Closes some that wait, if few slots are free; how many.
    fn make_room(&mut self, max: usize) -> u64 {
        if max - self.taken.len() > max / FREE_PART || self.waiting.is_empty() {
            return 0;
        }
        let closed = (self.waiting.len() / CLOSED_PART).clamp(1, CLOSED_MAX);
        for _ in 0..closed {
            if let Some((_, number)) = self.waiting.pop_first()
                && let Some(taken) = self.free(number)
            {
                taken.close.notify_one();
            }
        }
        closed as u64
    }

    fn free(&mut self, number: u64) -> Option<Taken> {
        let taken = self.taken.remove(&number)?;
        if let Some(turn) = taken.turn {
            self.waiting.remove(&turn);
        }
        self.clients -= usize::from(taken.doing != Doing::Upstream);
        Some(taken)
    }

    /// False when the connection had to make room and is closed.
    fn set(&mut self, number: u64, doing: Doing) -> bool {
        let turn = (doing == Doing::Waiting).then(|| self.number());
        let Some(taken) = self.taken.get_mut(&number) else { return false };
        taken.doing = doing;
        let before = std::mem::replace(&mut taken.turn, turn);
        if let Some(before) = before {
            self.waiting.remove(&before);
        }
        if let Some(turn) = turn {
            self.waiting.insert(turn, number);
        }
        true
    }
}

impl Slot {
    /// Notes what the client is at now; false when it had to make room, and nothing may be done for it any more.
    pub(super) fn set(&self, doing: Doing) -> bool {
        self.slots.table().set(self.number, doing)
    }

    /// Notes that a request begins to arrive, if none was; false as in `set`.
    pub(super) fn hears(&self) -> bool {
        let mut table = self.slots.table();
        match table.taken.get(&self.number).map(|taken| taken.doing) {
            None => false,
            Some(Doing::Waiting) => table.set(self.number, Doing::Reading),
            Some(_) => true,
        }
    }

    /// Waits until the client has to make room.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        table.free(self.number);
        if table.clients == 0 {
            self.slots.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::IntCounter;
    use proptest::prelude::{any, prop, proptest};

    use super::{Census, Doing, Slot, Slots};

    fn slots(max: usize) -> Arc<Slots> {
        Slots::new(max, IntCounter::new("reused", "x").unwrap())
    }

    #[test]
    fn without_anyone_to_close_the_last_slot_is_the_last() {
        let slots = slots(4);
        let working: Vec<Slot> = (0..2).map(|_| slots.take(Doing::Reading).unwrap()).collect();
        let _upstream = [slots.take(Doing::Upstream).unwrap(), slots.take(Doing::Upstream).unwrap()];
        assert!(slots.take(Doing::Waiting).is_none());
        assert!(slots.take(Doing::Upstream).is_none(), "a request needs one as well");
        drop(working);
        assert!(slots.take(Doing::Waiting).is_some());
        assert_eq!(slots.reused.get(), 0);
    }

    #[test]
    fn who_waits_longest_makes_room_and_who_works_does_not() {
        let slots = slots(32);
        let working: Vec<Slot> = (0..20).map(|_| slots.take(Doing::Writing).unwrap()).collect();
        let waiting: Vec<Slot> = (0..10).map(|_| slots.take(Doing::Waiting).unwrap()).collect();
        // Back from its request: it has waited for the shortest time now.
        assert!(waiting[0].set(Doing::Writing) && waiting[0].set(Doing::Waiting));
        assert_eq!(slots.census().waiting, 10);
        // Two of 32 are free, which is a sixteenth: an eighth of ten is one.
        let newcomer = slots.take(Doing::Reading).unwrap();
        assert_eq!(slots.reused.get(), 1);
        assert!(!waiting[1].set(Doing::Reading), "it was the first to be closed");
        assert!(!waiting[1].hears());
        assert!(waiting[0].hears() && waiting[2].hears());
        assert!(working.iter().all(|slot| slot.set(Doing::Writing)));
        assert_eq!(slots.census(), Census { waiting: 7, reading: 3, writing: 20, upstream: 0 });
        drop((working, waiting, newcomer));
        assert_eq!(slots.census(), Census::default());
    }

    #[tokio::test]
    async fn the_one_that_makes_room_is_told() {
        let slots = slots(1);
        let first = slots.take(Doing::Waiting).unwrap();
        let second = slots.take(Doing::Waiting).unwrap();
        first.closed().await;
        drop(first);
        assert_eq!(slots.census().waiting, 1, "what it gave up is not given up again");
        drop(second);
        slots.drained().await;
    }

    proptest! {
        #[test]
        fn no_more_are_taken_than_there_are_and_only_who_waits_is_closed(
            max in 1_usize..80,
            steps in prop::collection::vec((0_u8..5, any::<prop::sample::Index>()), 0..200),
        ) {
            let slots = slots(max);
            let mut held: Vec<(Slot, Doing)> = Vec::new();
            for (step, which) in steps {
                let doing = [Doing::Waiting, Doing::Reading, Doing::Writing, Doing::Upstream];
                match step {
                    4 if !held.is_empty() => drop(held.swap_remove(which.index(held.len()))),
                    0..=2 if !held.is_empty() && which.index(2) == 0 => {
                        let at = which.index(held.len());
                        let (slot, was) = &mut held[at];
                        if *was != Doing::Upstream {
                            let lives = slot.set(doing[usize::from(step)]);
                            assert!(lives || *was == Doing::Waiting, "{was:?} was closed");
                            *was = if lives { doing[usize::from(step)] } else { Doing::Waiting };
                        }
                    }
                    0..=3 => {
                        let doing = doing[usize::from(step)];
                        held.extend(slots.take(doing).map(|slot| (slot, doing)));
                    }
                    _ => {}
                }
                let census = slots.census();
                assert!(census.clients() + census.upstream <= max);
                let of = |doing| held.iter().filter(|(_, is)| *is == doing).count();
                assert_eq!((census.reading, census.writing, census.upstream),
                    (of(Doing::Reading), of(Doing::Writing), of(Doing::Upstream)));
                assert!(census.waiting <= of(Doing::Waiting));
            }
        }
    }
}
