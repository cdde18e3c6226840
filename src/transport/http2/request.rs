//! A rendered request in HTTP/2's terms. Requests are rendered once, as HTTP/1.1 writes them, because which protocol a connection
//! speaks is known only when it is there, and a repeat may go over one that speaks the other; here it is read back as RFC 9113
//! section 8.3.1 has a gateway do it: method and path become pseudo-fields, `host` becomes `:authority`, names become lower case.

use crate::limits;
use crate::transport::error::{ExchangeError, Unsendable};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// Head and body. The body is copied, since HTTP/2 sends it when the peer's windows allow.
///
/// # Errors
/// [`ExchangeError::Unsendable`] naming the part that HTTP/2 cannot carry: a rendered value may hold anything.
pub(super) fn translate(rendered: &[u8], tls: bool) -> Result<(Request<()>, Bytes), ExchangeError> {
    let mut fields = [httparse::EMPTY_HEADER; limits::REQUEST_HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(rendered) else {
        return Err(Unsendable::Field.into());
    };
    let (Some(method), Some(path)) = (parsed.method, parsed.path) else {
        return Err(Unsendable::Path.into());
    };
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| Unsendable::Field)?;
    let mut authority = None;
    for field in parsed.headers.iter() {
        if field.name.eq_ignore_ascii_case("host") {
            let host = Authority::try_from(field.value).map_err(|_| Unsendable::Host)?;
            authority = Some(host);
        } else if !concerns_connection(field.name) {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Unsendable::Field)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| Unsendable::Field)?;
            request.headers_mut().try_append(name, value).map_err(|_| Unsendable::Field)?;
        }
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority.ok_or(Unsendable::Host)?);
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| Unsendable::Path)?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Unsendable::Path)?;
    Ok((request, Bytes::copy_from_slice(&rendered[head..])))
}

/// Fields that speak of an HTTP/1.1 connection and may not be in an HTTP/2 message (RFC 9113 section 8.2.2).
fn concerns_connection(name: &str) -> bool {
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "http2-settings"]
        .iter()
        .any(|field| name.eq_ignore_ascii_case(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_its_meaning() {
        let (request, body) = translate(
            b"POST /a%20b?c=d HTTP/1.1\r\nHost: shop.example:8443\r\nAccept: */*\r\nConnection: close\r\n\
              cookie: a=1; b=2\r\nX-Two: 1\r\nx-two: 2\r\ncontent-length: 5\r\n\r\nhello",
            true,
        )
        .unwrap();
        assert_eq!(request.uri().to_string(), "https://shop.example:8443/a%20b?c=d");
        assert_eq!(request.method(), Method::POST);
        assert_eq!(body.as_ref(), b"hello");
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            fields,
            [
                ("accept", "*/*"),
                ("cookie", "a=1; b=2"),
                ("x-two", "1"),
                ("x-two", "2"),
                ("content-length", "5")
            ]
        );
    }

    #[test]
    fn what_http_2_cannot_carry_is_named() {
        for (rendered, what) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Unsendable::Host),
            (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", Unsendable::Host),
            (b"GET /a<b HTTP/1.1\r\nhost: a\r\n\r\n", Unsendable::Path),
            (b"GET / HTTP/1.1\r\nhost: a\r\nx: \x01\r\n\r\n", Unsendable::Field),
            (b"GET / HTTP/1.1\r\nhost: a\r\n", Unsendable::Field),
            (b"", Unsendable::Field),
        ] {
            let refused = translate(rendered, false).unwrap_err();
            assert_eq!(refused, ExchangeError::Unsendable(what), "{}", String::from_utf8_lossy(rendered));
        }
    }
}
