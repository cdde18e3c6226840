//! What is left of the catalog while the store does not answer: the last that was read, however long ago. It is said to be stale.

use std::future::Future;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use moka::future::Cache as Kept;

use super::Figures;
use crate::profile;
use crate::routes::Problem;
use crate::store::Document;

/// RFC 7234, 5.5.1.
const STALE: HeaderValue = HeaderValue::from_static("110 - \"Response is Stale\"");
const X_FALLBACK: HeaderName = HeaderName::from_static("x-fallback");

/// The last known documents of the catalog by key; none where there is no breaker.
pub(crate) struct Fallback {
    kept: Option<Kept<String, Document>>,
    figures: Figures,
}

/// What the catalog answers.
#[derive(Debug)]
pub(crate) struct Catalog {
    document: Document,
    stale: bool,
}

impl Fallback {
    pub(crate) fn new(dials: &profile::Breaker, figures: Figures) -> Self {
        let on = dials.timeout_ms > 0;
        let kept = on.then(|| Kept::builder().max_capacity(dials.fallback_max_entries).build());
        Self { kept, figures }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.kept.is_some()
    }

    /// What the store or the cache before it answers, which is remembered from then on.
    pub(crate) async fn remember(
        &self,
        key: &str,
        answer: impl Future<Output = Result<Document, Problem>>,
    ) -> Result<Document, Problem> {
        let document = answer.await?;
        if let Some(kept) = &self.kept {
            kept.insert(key.to_owned(), document.clone()).await;
        }
        Ok(document)
    }

    /// The answer, or in place of a failure what is remembered.
    pub(crate) async fn or_stale(
        &self,
        key: &str,
        answer: Result<Document, Problem>,
    ) -> Result<Catalog, Problem> {
        let problem = match answer {
            Ok(document) => return Ok(Catalog::fresh(document)),
            Err(problem) => problem,
        };
        // That there is no such product is an answer.
        let Some(kept) = self.kept.as_ref().filter(|_| problem.is_failure()) else { return Err(problem) };
        let document = kept.get(key).await.ok_or(problem)?;
        self.figures.fallback.inc();
        Ok(Catalog { document, stale: true })
    }
}

impl Catalog {
    pub(crate) fn fresh(document: Document) -> Self {
        Self { document, stale: false }
    }
}

impl IntoResponse for Catalog {
    fn into_response(self) -> Response {
        let mut response = self.document.into_response();
        if self.stale {
            response.headers_mut().insert(X_FALLBACK, HeaderValue::from_static("stale"));
            response.headers_mut().insert(header::WARNING, STALE);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::Fallback;
    use crate::metrics::Metrics;
    use crate::profile::Profile;
    use crate::routes::Problem;
    use crate::store::Document;

    fn fallback(profile: &str) -> Fallback {
        let profile = Profile::named(profile).unwrap();
        Fallback::new(&profile.dials().breaker, Metrics::new().unwrap().breaker)
    }

    fn failure() -> Result<Document, Problem> {
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "circuit_open", "x"))
    }

    async fn read(fallback: &Fallback, key: &str, text: &str) {
        fallback.remember(key, async { Ok(Document(text.to_owned())) }).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_read_last_stands_in_for_a_failure_and_for_nothing_else() {
        let fallback = fallback("breaker");
        read(&fallback, "a", "old").await;
        read(&fallback, "a", "new").await;
        let stale = fallback.or_stale("a", failure()).await.unwrap();
        assert_eq!((stale.document.0.as_str(), stale.stale), ("new", true));
        assert!(fallback.or_stale("b", failure()).await.is_err(), "never read");
        let gone = Problem::new(StatusCode::NOT_FOUND, "not_found", "x");
        assert!(fallback.or_stale("a", Err(gone)).await.is_err());
        let fresh = fallback.or_stale("a", Ok(Document("now".to_owned()))).await.unwrap();
        assert!(!fresh.stale);
        assert_eq!(fallback.figures.fallback.get(), 1);
    }

    #[tokio::test]
    async fn without_a_breaker_nothing_is_remembered() {
        let fallback = fallback("baseline");
        read(&fallback, "a", "old").await;
        assert!(fallback.or_stale("a", failure()).await.is_err());
    }
}
