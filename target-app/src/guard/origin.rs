//! Which web sites may ask. A browser sends the site whose script made a request along as `Origin`; a request of a site that
//! is neither the app's own nor listed is refused whole, a preflight (Fetch, "CORS-preflight request") as well as the
//! opening of a WebSocket, to which the same-origin policy does not apply. Who sends no `Origin` is no script of another
//! site and is let pass: this protects users of browsers, not the app from its clients.
//!
//! What listed origins are answered is `tower-http`'s, which knows the protocol. It does not refuse, though: a foreign
//! origin would be served and only its browser keep the answer from it.

use std::str::FromStr;
use std::time::Duration;

use axum::http::uri::{Scheme, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::SIGNATURE_HEADERS;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// `scheme://host[:port]`, as a browser writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Why a text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is http:// or https:// and a host, perhaps with a port, as in https://shop.example")]
pub struct NotAnOrigin;

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let uri: Uri = text.parse().map_err(|_| NotAnOrigin)?;
        let web = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let bare = uri.authority().is_some_and(|authority| text.ends_with(authority.as_str()));
        let anonymous = !text.contains('@');
        if !web || !bare || !anonymous {
            return Err(NotAnOrigin);
        }
        HeaderValue::from_str(&text.to_ascii_lowercase()).map(Self).map_err(|_| NotAnOrigin)
    }
}

impl Origin {
    pub(crate) fn as_str(&self) -> &str {
        // It was made of text.
        self.0.to_str().unwrap_or_default()
    }
}

/// The origins that may ask.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    listed: Vec<HeaderValue>,
    /// What the app's own begins with.
    scheme: &'static str,
}

impl Origins {
    pub(super) fn of(listed: &[Origin], tls: bool) -> Self {
        let scheme = if tls { "https://" } else { "http://" };
        Self { listed: listed.iter().map(|origin| origin.0.clone()).collect(), scheme }
    }

    pub(super) fn foreign(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_some_and(|origin| {
            !self.listed.contains(origin) && !self.is_own(origin, headers.get(header::HOST))
        })
    }

    /// Whether a page of this very app asks: the origin is where the request went to.
    fn is_own(&self, origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
        let place = origin.as_bytes().strip_prefix(self.scheme.as_bytes());
        place.zip(host).is_some_and(|(place, host)| place.eq_ignore_ascii_case(host.as_bytes()))
    }

    pub(super) fn layer(&self) -> CorsLayer {
        let headers = [header::AUTHORIZATION, header::CONTENT_TYPE].into_iter().chain(SIGNATURE_HEADERS);
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.listed.clone()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(headers.collect::<Vec<_>>())
            .expose_headers([header::RETRY_AFTER])
            .max_age(PREFLIGHT_MAX_AGE)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Origin, Origins};

    #[test]
    fn an_origin_has_a_scheme_a_host_and_perhaps_a_port() {
        for right in
            ["https://shop.example", "http://127.0.0.1:8080", "HTTPS://Shop.Example", "http://[::1]:1"]
        {
            assert_eq!(right.parse::<Origin>().unwrap().as_str(), right.to_ascii_lowercase());
        }
        for wrong in [
            "",
            "*",
            "null",
            "shop.example",
            "https://shop.example/",
            "https://a@b",
            "ftp://b",
            "https://b?c",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn foreign_is_who_is_neither_here_nor_listed() {
        let foreign = |origin: Option<&str>, host: &str, tls| {
            let listed: Origin = "https://shop.example".parse().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            Origins::of(&[listed], tls).foreign(&headers)
        };
        let here = "127.0.0.1:8080";
        assert!(!foreign(None, here, true));
        assert!(!foreign(Some("https://shop.example"), here, true));
        assert!(!foreign(Some("https://127.0.0.1:8080"), here, true));
        assert!(!foreign(Some("http://127.0.0.1:8080"), here, false));
        for other in [
            "http://127.0.0.1:8080",
            "https://127.0.0.1",
            "https://shop.example.evil",
            "http://shop.example",
            "null",
            "",
        ] {
            assert!(foreign(Some(other), here, true), "{other}");
        }
    }
}
