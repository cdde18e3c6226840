//! The roll of a fleet: which of its processes live, what each said last, and what the dead ones have counted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::UnixListener;
use tokio::time::{Duration, MissedTickBehavior, interval};

use super::figures::Figures;
use super::place::{Place, Role};
use super::{figures_socket, link};
use crate::lock::lock;

/// What the replicas tell of their CPU.
const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// Between two looks at every replica's figures: what a killed one counted after the last look is lost.
const LOOK: Duration = Duration::from_secs(1);

/// How long one process is waited for. Somebody who asks may have to wait for two looks, and does so for as long as [`link::ask`].
const ANSWER_MAX: Duration = Duration::from_millis(700);

/// Shared by the keepers of the processes and by whoever answers for all of them.
#[derive(Clone)]
pub(super) struct Roll {
    entries: Arc<Mutex<Entries>>,
    looking: Arc<tokio::sync::Mutex<()>>,
}

struct Entries {
    processes: Vec<Entry>,
    dead: Figures,
    restarts: u64,
    scaled_out: u64,
    scaled_in: u64,
    /// Everyone who was wanted has been there at one moment.
    was_complete: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    /// Whether it should be there.
    wanted: bool,
    /// Which start of it lives, counted from one; none while it does not.
    living: Option<u64>,
    /// It lives and is to end.
    leaves: bool,
    starts: u64,
    last: String,
}

impl Roll {
    pub(super) fn of(places: impl Iterator<Item = Place>) -> Self {
        let processes = places.map(Entry::new).collect();
        let entries = Entries {
            processes,
            dead: Figures::default(),
            restarts: 0,
            scaled_out: 0,
            scaled_in: 0,
            was_complete: false,
        };
        Self { entries: Arc::new(Mutex::new(entries)), looking: Arc::default() }
    }

    /// Whether a process should be there from now on.
    pub(super) fn want(&self, place: Place, wanted: bool) {
        if let Some(process) = self.entries().find(place) {
            process.wanted = wanted;
        }
    }

    /// CPU time that the replicas have used in all, the dead ones too, in seconds, and how many of them live.
    pub(super) fn cpu_s(&self) -> (f64, u32) {
        let entries = self.entries();
        let mut figures = entries.dead.clone();
        let living = entries.replicas().filter(|replica| replica.living.is_some());
        living.clone().for_each(|replica| figures.add(&replica.last));
        (figures.value(CPU_SECONDS), living.count() as u32)
    }

    /// The number of replicas was changed.
    pub(super) fn scaled(&self, out: bool) {
        let mut entries = self.entries();
        let count = if out { &mut entries.scaled_out } else { &mut entries.scaled_in };
        *count += 1;
    }

    /// A process listens; true when it is the last one that was missing for the first time.
    pub(super) fn ready(&self, place: Place) -> bool {
        let mut entries = self.entries();
        if let Some(process) = entries.find(place) {
            process.starts += 1;
            process.living = Some(process.starts);
        }
        let first = !entries.was_complete && entries.is_complete();
        entries.was_complete |= first;
        first
    }

    /// A process is told to end: it does what it has begun and takes nothing more.
    pub(super) fn leaves(&self, place: Place) {
        if let Some(process) = self.entries().find(place) {
            process.leaves = true;
        }
    }

    /// A process ended: what it had counted stays in the sum, as it left it, or else as it said last.
    pub(super) fn died(&self, place: Place, left: Option<String>) {
        let mut entries = self.entries();
        let Some(process) = entries.find(place) else { return };
        (process.living, process.leaves) = (None, false);
        let last = std::mem::take(&mut process.last);
        entries.dead.add_counted(&left.unwrap_or(last));
    }

    /// Replicas there should be.
    pub(super) fn desired(&self) -> u32 {
        self.entries().replicas().filter(|replica| replica.wanted).count() as u32
    }

    /// A process is started in place of one that ended.
    pub(super) fn restarted(&self) {
        self.entries().restarts += 1;
    }

    /// Gives everyone who connects the figures of all, and keeps up with them meanwhile. One thing at a time, so that no
    /// answer is made of older figures than the one before.
    pub(super) async fn answer(&self, listener: UnixListener, directory: PathBuf) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                // Whoever asks is waiting; the look that is due is made for them.
                biased;
                connection = link::accept(&listener) => Some(connection),
                _ = look.tick() => None,
            };
            self.look(&directory).await;
            if let Some(connection) = asked {
                link::answer(connection, &self.text()).await;
            }
        }
    }

    /// Asks all living processes at once.
    pub(super) async fn look(&self, directory: &std::path::Path) {
        // One look at a time, or an older answer could take the place of a newer one.
        let _looking = self.looking.lock().await;
        let living: Vec<_> = {
            let entries = self.entries();
            let processes = entries.processes.iter();
            processes.filter_map(|process| process.living.map(|start| (process.place, start))).collect()
        };
        let mut asked = tokio::task::JoinSet::new();
        for (place, start) in living {
            let socket = figures_socket(directory, place);
            asked.spawn(
                async move { (place, start, tokio::time::timeout(ANSWER_MAX, link::ask(&socket)).await) },
            );
        }
        while let Some(answer) = asked.join_next().await {
            // One that does not answer now stands in the sum with what it said last.
            if let Ok((place, start, Ok(Ok(text)))) = answer {
                self.heard(place, start, text);
            }
        }
    }

    fn heard(&self, place: Place, start: u64, text: String) {
        let mut entries = self.entries();
        // It may have died, and even come back, since it answered; then its figures are counted among the dead's.
        if let Some(process) = entries.find(place).filter(|process| process.living == Some(start)) {
            process.last = text;
        }
    }

    fn text(&self) -> String {
        let entries = self.entries();
        let mut figures = entries.dead.clone();
        for process in &entries.processes {
            figures.add(&process.last);
        }
        let serves = |replica: &&Entry| replica.living.is_some() && !replica.leaves;
        let living = entries.replicas().filter(serves).count();
        let desired = entries.replicas().filter(|replica| replica.wanted).count();
        figures.set("target_replicas", "gauge", "Replicas that serve.", living as f64);
        figures.set("target_replicas_desired", "gauge", "Replicas that should.", desired as f64);
        let restarts = entries.restarts as f64;
        figures.set(
            "target_replica_restarts_total",
            "counter",
            "Replicas and other processes of the fleet started in place of dead ones.",
            restarts,
        );
        let (out, back) = (entries.scaled_out as f64, entries.scaled_in as f64);
        figures.set("target_scale_out_total", "counter", "Times the autoscaler wanted more replicas.", out);
        figures.set("target_scale_in_total", "counter", "Times it wanted fewer.", back);
        figures.text()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }
}

impl Entry {
    fn new(place: Place) -> Self {
        Self { place, wanted: false, living: None, leaves: false, starts: 0, last: String::new() }
    }
}

impl Entries {
    fn find(&mut self, place: Place) -> Option<&mut Entry> {
        self.processes.iter_mut().find(|process| process.place == place)
    }

    fn replicas(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.processes.iter().filter(|process| process.place.role == Role::Replica)
    }

    fn is_complete(&self) -> bool {
        self.processes.iter().all(|process| process.starts > 0 || !process.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Role, Roll};

    const A: Place = Place { role: Role::Replica, number: 0, of: 2 };
    const B: Place = Place { role: Role::Replica, number: 1, of: 2 };
    const REDIS: Place = Place { role: Role::Redis, number: 0, of: 1 };

    fn said(sent: u32, open: u32) -> String {
        format!("# HELP s S.\n# TYPE s counter\ns {sent}\n# HELP o O.\n# TYPE o gauge\no {open}\n")
    }

    fn figure(roll: &Roll, name: &str) -> f64 {
        let text = roll.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    #[test]
    fn counts_survive_a_death_and_states_do_not() {
        let roll = roll_of(&[A, B]);
        assert!(!roll.ready(A));
        assert!(roll.ready(B), "now all are there");
        roll.heard(A, 1, said(10, 3));
        roll.heard(B, 1, said(20, 4));
        assert_eq!(
            (figure(&roll, "s"), figure(&roll, "o"), figure(&roll, "target_replicas")),
            (30.0, 7.0, 2.0)
        );
        roll.died(A, None);
        roll.heard(A, 1, said(11, 3));
        assert_eq!(
            (figure(&roll, "s"), figure(&roll, "o"), figure(&roll, "target_replicas")),
            (30.0, 4.0, 1.0)
        );
        roll.restarted();
        assert!(!roll.ready(A), "it was there before");
        roll.heard(A, 1, said(99, 9));
        roll.heard(A, 2, said(5, 1));
        assert_eq!(
            (figure(&roll, "s"), figure(&roll, "o"), figure(&roll, "target_replicas")),
            (35.0, 5.0, 2.0)
        );
        assert_eq!(figure(&roll, "target_replicas_desired"), 2.0);
        assert_eq!(figure(&roll, "target_replica_restarts_total"), 1.0);
    }

    /// Where all of these are wanted.
    fn roll_of(places: &[Place]) -> Roll {
        let roll = Roll::of(places.iter().copied());
        places.iter().for_each(|place| roll.want(*place, true));
        roll
    }

    #[test]
    fn who_is_not_wanted_is_not_waited_for_and_their_cpu_time_is_not_forgotten() {
        let used = |s: u32| format!("# HELP p P.\n# TYPE {0} counter\n{0} {s}\n", super::CPU_SECONDS);
        let roll = roll_of(&[A]);
        assert!(roll.ready(A), "nobody else is wanted");
        let both = Roll::of([A, B].into_iter());
        both.want(A, true);
        assert!(both.ready(A), "B is not wanted");
        both.want(B, true);
        assert!(!both.ready(B), "the fleet was complete before");
        both.heard(A, 1, used(3));
        both.heard(B, 1, used(4));
        assert_eq!(both.cpu_s(), (7.0, 2));
        both.want(B, false);
        both.leaves(B);
        assert_eq!(figure(&both, "target_replicas"), 1.0);
        both.died(B, Some(used(5)));
        assert_eq!(both.cpu_s(), (8.0, 1), "what it counted while it drained is in it");
        assert_eq!(figure(&both, "target_replicas_desired"), 1.0);
        both.scaled(true);
        assert_eq!(
            (figure(&both, "target_scale_out_total"), figure(&both, "target_scale_in_total")),
            (1.0, 0.0)
        );
    }

    #[test]
    fn a_process_of_another_role_is_waited_for_and_added_but_is_no_replica() {
        let roll = roll_of(&[A, REDIS]);
        assert!(!roll.ready(A));
        assert!(roll.ready(REDIS));
        roll.heard(A, 1, said(10, 3));
        roll.heard(REDIS, 1, said(5, 1));
        assert_eq!((figure(&roll, "s"), figure(&roll, "o")), (15.0, 4.0));
        assert_eq!((figure(&roll, "target_replicas"), figure(&roll, "target_replicas_desired")), (1.0, 1.0));
    }
}
