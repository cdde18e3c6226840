//! Why a protection turned somebody away, as the one word that the problem, the counter and the audit log have in common.

use prometheus::{IntCounter, IntCounterVec};

use crate::metrics::Maker;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    RateLimited,
    ForeignOrigin,
    SignatureMissing,
    SignatureMalformed,
    SignatureUnknownKey,
    SignatureStale,
    SignatureWrong,
    SignatureReplayed,
    TlsHandshake,
    HeaderTimeout,
    BodyTimeout,
}

impl Reason {
    pub(crate) const ALL: [Self; 11] = [
        Self::RateLimited,
        Self::ForeignOrigin,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureUnknownKey,
        Self::SignatureStale,
        Self::SignatureWrong,
        Self::SignatureReplayed,
        Self::TlsHandshake,
        Self::HeaderTimeout,
        Self::BodyTimeout,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::ForeignOrigin => "foreign_origin",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureUnknownKey => "signature_unknown_key",
            Self::SignatureStale => "signature_stale",
            Self::SignatureWrong => "signature_wrong",
            Self::SignatureReplayed => "signature_replayed",
            Self::TlsHandshake => "tls_handshake",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
        }
    }
}

/// What the protections count.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    rejected: IntCounterVec,
    /// Times that the window of signatures was narrowed, because there was no room to remember all that are in it.
    pub(super) signature_window_narrowed: IntCounter,
}

impl Figures {
    pub(crate) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let rejected = make.counters(
            "rejected_total",
            "Requests and connections that a protection turned away.",
            &["reason"],
        )?;
        // All there can be, so that a rate has a zero to start from.
        for reason in Reason::ALL {
            rejected.with_label_values(&[reason.name()]);
        }
        Ok(Self {
            rejected,
            signature_window_narrowed: make.count(
                "request_signing_window_narrowed_total",
                "Times the oldest signatures were forgotten before their time, and with them their second.",
            )?,
        })
    }

    pub(super) fn rejected(&self, reason: Reason) {
        self.rejected.with_label_values(&[reason.name()]).inc();
    }
}
