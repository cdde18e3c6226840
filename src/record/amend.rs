//! What is added to a record after its run: what a second one had to say about it.

use super::rows::{Event, Manifest};
use super::store::{EVENTS, MANIFEST, StoreError, replace};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Writes the manifest of a finished record again, and an event behind those it has.
///
/// # Errors
/// [`StoreError::Write`].
pub fn amend(dir: &Path, manifest: &Manifest, event: &Event) -> Result<(), StoreError> {
    let (manifest_path, events_path) = (dir.join(MANIFEST), dir.join(EVENTS));
    let broken = |error: serde_json::Error| StoreError::Corrupt {
        path: manifest_path.clone(),
        text: error.to_string(),
    };
    let bytes = serde_json::to_vec_pretty(manifest).map_err(broken)?;
    let line = serde_json::to_string(event).map_err(broken)? + "\n";
    let wrong = |source| StoreError::Write { path: events_path.clone(), source };
    let mut events = OpenOptions::new().create(true).append(true).open(&events_path).map_err(wrong)?;
    events.write_all(line.as_bytes()).map_err(wrong)?;
    replace(&manifest_path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::recorded::Recorded;
    use crate::record::store::Store;
    use crate::record::what_if::{Asked, Observed};

    #[test]
    fn an_amended_record_reads_back() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Store::create(dir.path(), Manifest::default()).expect("a store"));
        let observed = Observed {
            typical: 1_040.0,
            interval: [Some(1_012.0), None],
            run: "reports/after".to_owned(),
            bottleneck: None,
        };
        let mut manifest = Recorded::open(dir.path()).expect("a record").manifest;
        manifest.what_if =
            Some(Asked { changes: vec!["mongodb.pool=20".to_owned()], observed: Some(observed) });
        let event = Event {
            t_s: 3.0,
            kind: "what_if".to_owned(),
            text: "made the change".to_owned(),
            fields: serde_json::Map::new(),
        };
        amend(dir.path(), &manifest, &event).expect("amended");
        let again = Recorded::open(dir.path()).expect("still a record");
        assert_eq!((again.manifest, again.events), (manifest, vec![event]));
    }
}
