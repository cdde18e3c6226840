//! The cache in front of the store: a seam. `baseline` has none, so the one implementation keeps nothing.

use crate::store::Document;

/// Keeps documents by key for a while.
pub(crate) trait Cache: Send + Sync {
    fn get(&self, key: &str) -> Option<Document>;
    fn put(&self, key: &str, document: &Document);
}

/// No cache: every read goes to the store.
pub(crate) struct Off;

impl Cache for Off {
    fn get(&self, _key: &str) -> Option<Document> {
        None
    }

    fn put(&self, _key: &str, _document: &Document) {}
}
