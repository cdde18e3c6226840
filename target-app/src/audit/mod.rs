//! The audit log: one line of JSON for each thing that concerns the security of the shop (a login, a registration, an order,
//! whatever a protection turned away). A request only puts its line into a bounded queue; a thread of its own writes them,
//! so a slow disk holds nobody up. What the queue has no room for, or the disk does not take, is counted as lost.
//!
//! Lines say who asked only in values of JSON, where no text of a client can pretend to be another line.

mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use prometheus::{IntCounter, IntCounterVec};
use serde_json::{Map, Value};
use tempfile::TempDir;

use self::file::Bounded;
use crate::clock;
use crate::limiter::Peer;
use crate::metrics::Maker;
use crate::profile::{AuditLog, Switch};

/// What the audit log counts.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    written: IntCounter,
    lost: IntCounterVec,
}

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let lost = make.counters(
            "audit_log_events_lost_total",
            "Events that are not in the audit log, by what they were lost to.",
            &["reason"],
        )?;
        for reason in ["queue_full", "write_failed"] {
            lost.with_label_values(&[reason]);
        }
        Ok(Self { written: make.count("audit_log_events_total", "Events written to the audit log.")?, lost })
    }

    fn lost(&self, reason: &str) {
        self.lost.with_label_values(&[reason]).inc();
    }
}

/// Takes events; off when its dial is.
pub(crate) struct Audit {
    log: Option<Log>,
    figures: Figures,
}

struct Log {
    /// None only while the log is dropped.
    queue: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    /// Where the file lives when nobody said where; it goes when this is dropped.
    _directory: Option<TempDir>,
}

impl Audit {
    /// A log at `path`, or in a directory of its own.
    pub(crate) fn open(dials: &AuditLog, path: Option<&Path>, figures: Figures) -> io::Result<Self> {
        if dials.enabled == Switch::Off {
            return Ok(Self { log: None, figures });
        }
        let own = match path {
            Some(_) => None,
            None => Some(TempDir::with_prefix("target-app-")?),
        };
        let place = own.as_ref().map(|directory| directory.path().join("audit.jsonl"));
        let path = path.map(Path::to_owned).or(place).unwrap_or_else(|| PathBuf::from("audit.jsonl"));
        let mut file = Bounded::open(path, dials.max_bytes)?;
        let (queue, lines) = sync_channel::<String>(dials.max_queue);
        let counted = figures.clone();
        let writer = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Ok(line) = lines.recv() {
                match file.write(&line) {
                    Ok(()) => counted.written.inc(),
                    Err(_) => counted.lost("write_failed"),
                }
            }
        })?;
        Ok(Self { log: Some(Log { queue: Some(queue), writer: Some(writer), _directory: own }), figures })
    }

    pub(crate) fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Records an event with what belongs to it, which is asked for only when there is a log.
    pub(crate) fn record(&self, event: &'static str, peer: Option<Peer>, details: impl FnOnce() -> Value) {
        let Some(queue) = self.log.as_ref().and_then(|log| log.queue.as_ref()) else { return };
        let mut line = Map::new();
        line.insert("at_ms".to_owned(), clock::unix_ms().into());
        line.insert("event".to_owned(), event.into());
        if let Some(peer) = peer {
            line.insert("peer".to_owned(), peer.0.to_canonical().to_string().into());
        }
        if let Value::Object(details) = details() {
            line.extend(details);
        }
        match queue.try_send(Value::Object(line).to_string() + "\n") {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.figures.lost("queue_full"),
        }
    }
}

/// What is in the queue is written before the app ends.
impl Drop for Log {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // It fails only when the thread has panicked, and then there is nothing more to write.
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use serde_json::{Value, json};

    use super::{Audit, Figures};
    use crate::limiter::Peer;
    use crate::metrics::Maker;
    use crate::profile::{AuditLog, Switch};

    fn figures() -> Figures {
        Figures::new(&Maker::of(&Registry::new())).unwrap()
    }

    fn dials(max_queue: usize) -> AuditLog {
        AuditLog { enabled: Switch::On, max_bytes: 1 << 20, max_queue }
    }

    #[test]
    fn every_event_is_a_line_whatever_it_contains() {
        let directory = tempfile::tempdir().unwrap();
        let (path, figures) = (directory.path().join("audit"), figures());
        let audit = Audit::open(&dials(10), Some(&path), figures.clone()).unwrap();
        let peer = Some(Peer("::ffff:127.0.0.1".parse().unwrap()));
        audit.record("login_failed", peer, || json!({"email": "a\n{\"event\":\"login\"}\u{2028}"}));
        audit.record("rejected", None, || json!({"reason": "rate_limited"}));
        drop(audit);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["event"], &lines[0]["peer"]), (&json!("login_failed"), &json!("127.0.0.1")));
        assert_eq!((&lines[1]["reason"], lines[1].get("peer")), (&json!("rate_limited"), None));
        assert!(lines[0]["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(figures.written.get(), 2);
    }

    /// The writer cannot be held up, so what became of each event is counted instead: none goes without either count.
    #[test]
    fn what_is_not_written_is_counted() {
        let figures = figures();
        let audit = Audit::open(&dials(1), None, figures.clone()).unwrap();
        for _ in 0..5_000 {
            audit.record("login", None, || json!({}));
        }
        drop(audit);
        let lost = figures.lost.with_label_values(&["queue_full"]).get();
        assert_eq!(figures.written.get() + lost, 5_000);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_said_at_once_and_off_there_is_none() {
        let nowhere = std::path::Path::new("/nonexistent/audit");
        assert!(Audit::open(&dials(1), Some(nowhere), figures()).is_err());
        let off = AuditLog { enabled: Switch::Off, ..dials(1) };
        let audit = Audit::open(&off, Some(nowhere), figures()).unwrap();
        assert!(!audit.is_on());
        audit.record("login", None, || panic!("nobody asked"));
    }
}
