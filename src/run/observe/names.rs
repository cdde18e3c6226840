//! Whose the names are: a resource is asked for by its name alone, so two sources that tell of one name would be one mean over both.

use crate::scenario::plan::ObserveSource;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the sources of a run share.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Several sources find resources by presets, which have the same names for all.
    several: bool,
    /// Name → the source that tells of it.
    owners: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Names {
    /// What a scenario defines has its owner before anything is found.
    pub(super) fn of(sources: &[ObserveSource]) -> Self {
        let defined = sources.iter().flat_map(|source| {
            let names = source.resources.keys().chain(source.signals.keys());
            names.map(|name| (name.clone(), source.name.clone()))
        });
        Self {
            several: sources.iter().filter(|source| source.preset.is_some()).count() > 1,
            owners: Arc::new(Mutex::new(defined.collect())),
        }
    }

    /// What a resource is called that a preset has found.
    pub(super) fn found(&self, source: &str, name: String) -> String {
        if self.several { format!("{source}.{name}") } else { name }
    }

    /// Takes a name for a source; yields the other whose it is already.
    pub(super) fn taken(&self, source: &str, name: &str) -> Option<String> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = owners.entry(name.to_owned()).or_insert_with(|| source.to_owned());
        (owner != source).then(|| owner.clone())
    }
}
