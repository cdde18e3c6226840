//! The roll of a fleet: which replicas live, what each said last, and what the dead ones have counted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixListener;
use tokio::time::{Duration, MissedTickBehavior, interval};

use super::figures::Figures;
use super::{link, replica_socket};

/// Between two looks at every replica's figures: what a killed one counted after the last look is lost.
const LOOK: Duration = Duration::from_secs(1);

/// Shared by the keepers of the replicas and by whoever answers for all of them.
#[derive(Clone)]
pub(super) struct Roll {
    entries: Arc<Mutex<Entries>>,
}

struct Entries {
    replicas: Vec<Entry>,
    dead: Figures,
    restarts: u64,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// Which start of it lives, counted from one; none while it does not.
    living: Option<u64>,
    starts: u64,
    last: String,
}

impl Roll {
    pub(super) fn of(replicas: u32) -> Self {
        let replicas = vec![Entry::default(); replicas as usize];
        let entries = Entries { replicas, dead: Figures::default(), restarts: 0 };
        Self { entries: Arc::new(Mutex::new(entries)) }
    }

    /// A replica listens; true when it is the last one that was missing for the first time.
    pub(super) fn ready(&self, number: u32) -> bool {
        let mut entries = self.entries();
        let was_complete = entries.replicas.iter().all(|replica| replica.starts > 0);
        let replica = &mut entries.replicas[number as usize];
        replica.starts += 1;
        replica.living = Some(replica.starts);
        !was_complete && entries.replicas.iter().all(|replica| replica.starts > 0)
    }

    /// A replica ended: what it had counted stays in the sum.
    pub(super) fn died(&self, number: u32) {
        let mut entries = self.entries();
        let replica = &mut entries.replicas[number as usize];
        replica.living = None;
        let last = std::mem::take(&mut replica.last);
        entries.dead.add_counted(&last);
    }

    /// A replica is started in place of one that ended.
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
                connection = link::accept(&listener) => Some(connection),
                _ = look.tick() => None,
            };
            self.look(&directory).await;
            if let Some(connection) = asked {
                link::answer(connection, &self.text()).await;
            }
        }
    }

    /// Asks all living replicas at once.
    async fn look(&self, directory: &std::path::Path) {
        let living: Vec<_> = {
            let entries = self.entries();
            let numbered = (0..).zip(&entries.replicas);
            numbered.filter_map(|(number, replica)| replica.living.map(|start| (number, start))).collect()
        };
        let mut asked = tokio::task::JoinSet::new();
        for (number, start) in living {
            let socket = replica_socket(directory, number);
            asked.spawn(async move {
                (number, start, tokio::time::timeout(link::WAIT, link::ask(&socket)).await)
            });
        }
        while let Some(answer) = asked.join_next().await {
            // One that does not answer now stands in the sum with what it said last.
            if let Ok((number, start, Ok(Ok(text)))) = answer {
                self.heard(number, start, text);
            }
        }
    }

    fn heard(&self, number: u32, start: u64, text: String) {
        let replica = &mut self.entries().replicas[number as usize];
        // It may have died, and even come back, since it answered; then its figures are counted among the dead's.
        if replica.living == Some(start) {
            replica.last = text;
        }
    }

    fn text(&self) -> String {
        let entries = self.entries();
        let mut figures = entries.dead.clone();
        for replica in &entries.replicas {
            figures.add(&replica.last);
        }
        let living = entries.replicas.iter().filter(|replica| replica.living.is_some()).count();
        let desired = entries.replicas.len();
        figures.set("target_replicas", "gauge", "Replicas that serve.", living as f64);
        figures.set("target_replicas_desired", "gauge", "Replicas that should.", desired as f64);
        let restarts = entries.restarts as f64;
        figures.set(
            "target_replica_restarts_total",
            "counter",
            "Replicas started in place of dead ones.",
            restarts,
        );
        figures.text()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing in here panics half-way through a change, so a poisoned lock guards a sound state.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Roll;

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
        let roll = Roll::of(2);
        assert!(!roll.ready(0));
        assert!(roll.ready(1), "now all are there");
        roll.heard(0, 1, said(10, 3));
        roll.heard(1, 1, said(20, 4));
        assert_eq!(
            (figure(&roll, "s"), figure(&roll, "o"), figure(&roll, "target_replicas")),
            (30.0, 7.0, 2.0)
        );
        roll.died(0);
        roll.heard(0, 1, said(11, 3));
        assert_eq!(
            (figure(&roll, "s"), figure(&roll, "o"), figure(&roll, "target_replicas")),
            (30.0, 4.0, 1.0)
        );
        roll.restarted();
        assert!(!roll.ready(0), "it was there before");
        roll.heard(0, 1, said(99, 9));
        roll.heard(0, 2, said(5, 1));
        assert_eq!(
            (figure(&roll, "s"), figure(&roll, "o"), figure(&roll, "target_replicas")),
            (35.0, 5.0, 2.0)
        );
        assert_eq!(figure(&roll, "target_replicas_desired"), 2.0);
        assert_eq!(figure(&roll, "target_replica_restarts_total"), 1.0);
    }
}
