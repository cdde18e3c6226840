//! The headers with which a browser protects its user. The app has no pages, so its policy is the one for an API: nothing of
//! an answer may be run, framed or loaded from (OWASP, REST Security Cheat Sheet, "Security Headers").

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
/// Two years. A browser ignores it in clear text (RFC 6797, 8.1), so there it is not said.
const UNDER_TLS: (HeaderName, HeaderValue) =
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains"));

pub(super) fn add(response: &mut HeaderMap, tls: bool) {
    for (name, value) in ALWAYS.into_iter().chain(tls.then_some(UNDER_TLS)) {
        response.insert(name, value);
    }
}
