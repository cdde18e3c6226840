//! What GraphQL counts. Its errors come under status 200, so what counts requests by their status does not see them.

use prometheus::IntCounterVec;

use crate::metrics::Maker;

#[derive(Clone, Debug)]
pub(crate) struct Figures {
    errors: IntCounterVec,
}

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let errors = make.counters(
            "graphql_errors_total",
            "Errors in answers to GraphQL requests, by their word.",
            &["code"],
        )?;
        Ok(Self { errors })
    }

    /// The words are those of the app's problems, so there are few.
    pub(super) fn failed(&self, code: &str) {
        self.errors.with_label_values(&[code]).inc();
    }
}
