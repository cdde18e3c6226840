//! What can go wrong on the wire, as small values that cost nothing to pass around: a run under overload makes millions of them.
//! `kind()` is the word they are counted under; `Display` says the same to a person.

use crate::limits;
use std::io;
use thiserror::Error;

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    #[error("connection refused: nothing listens there, or its queue of new connections is full")]
    Refused,
    #[error("no route to the host")]
    Unreachable,
    #[error("no answer while connecting (the operating system gave up)")]
    ConnectTimedOut,
    #[error("connection reset while connecting")]
    Reset,
    #[error(
        "no local port left for this address (each source address has about 28,000): spread over more source addresses"
    )]
    NoLocalPort,
    #[error("too many open files in this process: raise `ulimit -n`")]
    TooManyFiles,
    #[error("no memory left for sockets: see `sysctl net.ipv4.tcp_mem`")]
    NoSocketMemory,
    #[error("TLS handshake: {0}")]
    Tls(TlsFailure),
    #[error("the server does not speak HTTP/2: write `http_version: auto` or `1.1`")]
    NotHttp2,
    #[error("the server ended HTTP/2 as it began, or began it wrongly ({0:?})")]
    Http2(h2::Reason),
    #[error("cannot connect: {0}")]
    Io(io::ErrorKind),
}

/// Why a TLS handshake or record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TlsFailure {
    #[error("the certificate's issuer is not trusted: name it in `target.tls.ca`")]
    UnknownIssuer,
    #[error("the certificate is for another name: write the name it is for in `target.tls.server_name`")]
    WrongName,
    #[error("the certificate has expired or is not valid yet")]
    NotValidNow,
    #[error(
        "the server shows a CA's own certificate, as `openssl req -x509` makes them: have it show one with `basicConstraints = CA:FALSE`, or write `verify: false`"
    )]
    CaAsServer,
    #[error(
        "the certificate is for another purpose: have the server show one whose extended key usage has `serverAuth`"
    )]
    WrongPurpose,
    #[error(
        "the certificate is not signed by the CA of that name in `target.tls.ca`: give the certificate that the CA has now"
    )]
    BadSignature,
    #[error(
        "the certificate is broken, or of a kind that no client has to take: have the server show another, or write `verify: false`"
    )]
    BadCertificate,
    #[error(
        "the server wants a client certificate: give `target.tls.client_cert` and `target.tls.client_key`"
    )]
    ClientCertificateWanted,
    #[error("the server does not accept the client certificate")]
    ClientCertificateRefused,
    #[error(
        "the server and this client have no version of TLS or no cipher in common: see `min_version` and `max_version` of `target.tls`"
    )]
    NothingInCommon,
    #[error("the server speaks no protocol of those offered (ALPN): see `target.http_version`")]
    NoProtocol,
    #[error("the server refused it with an alert")]
    Alert,
    #[error("the peer does not speak TLS, or breaks its rules")]
    Protocol,
    #[error("the connection ended")]
    Closed,
}

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// Nothing of the request was sent, so any method may be sent again on a fresh connection.
    #[error("the server had closed the idle connection")]
    ClosedWhileIdle,
    /// Likewise nothing was sent: the server spoke without being asked, and not to close an idle connection with status 408.
    #[error("the server sent bytes on an idle connection that nobody asked for")]
    Unsolicited,
    #[error("the server closed the connection before answering")]
    ClosedBeforeResponse,
    #[error("the server closed the connection inside the response head")]
    ClosedInHead,
    #[error("the server closed the connection inside the response body")]
    ClosedInBody,
    #[error("the connection was reset while {0}")]
    Reset(ResetWhile),
    #[error("malformed response: {0}")]
    Malformed(Malformed),
    #[error("the response head is larger than {} bytes", limits::RESPONSE_HEAD_BYTES_MAX)]
    HeadTooLarge,
    #[error("the response body is larger than {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: u64 },
    /// HTTP/2: the server said that it has not looked at the request, so any method may be sent again (RFC 9113 section 8.7).
    #[error("the server did not look at the request ({0:?})")]
    NotProcessed(h2::Reason),
    #[error("the server reset the stream ({0:?})")]
    StreamReset(h2::Reason),
    #[error("the server ended the connection with GOAWAY ({0:?})")]
    GoneAway(h2::Reason),
    #[error("{0}")]
    Unsendable(Unsendable),
    #[error("TLS: {0}")]
    Tls(TlsFailure),
    #[error("input or output: {0}")]
    Io(io::ErrorKind),
}

/// Which part of a rendered request HTTP/2 cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unsendable {
    #[error("the path of the request holds a character that no URI may hold")]
    Path,
    #[error("a header of the request holds a character that no header may hold")]
    Field,
    #[error("the `host` header of the request is no host")]
    Host,
}

/// How far an exchange was when the connection was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResetWhile {
    #[error("sending the request")]
    Sending,
    #[error("waiting for the response")]
    Waiting,
    #[error("receiving the response")]
    Receiving,
}

/// Which rule of HTTP/1.1 (RFC 9112) or HTTP/2 (RFC 9113) a response broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("it does not begin with `HTTP/1.`")]
    NotHttp,
    #[error("status line")]
    StatusLine,
    #[error("header field")]
    Header,
    #[error("more than {} header fields", limits::RESPONSE_HEADERS_MAX)]
    TooManyHeaders,
    #[error("content-length is not a number")]
    ContentLength,
    #[error("two content-lengths that differ")]
    ConflictingContentLength,
    #[error("both content-length and transfer-encoding")]
    LengthAndTransferEncoding,
    #[error("transfer-encoding in an HTTP/1.0 response")]
    TransferEncodingInHttp10,
    #[error("chunked applied twice, or not as the last transfer-encoding")]
    TransferEncoding,
    #[error("chunk size line")]
    ChunkSize,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("trailer of a chunked body")]
    Trailer,
    #[error("more than {} interim (1xx) responses", limits::INTERIM_RESPONSES_MAX)]
    TooManyInterim,
    #[error("status 101 to a request that asked for no upgrade")]
    UnexpectedUpgrade,
    #[error("bytes after the end of the response")]
    BytesAfterEnd,
    #[error("HTTP/2 {0:?}")]
    Http2(h2::Reason),
}

impl TransportError {
    /// One word or two, stable, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimedOut => "connect timed out",
            Self::Reset => "reset",
            Self::NoLocalPort => "no local port",
            Self::TooManyFiles => "too many files",
            Self::NoSocketMemory => "no socket memory",
            Self::Tls(_) => "tls",
            Self::NotHttp2 => "not http/2",
            Self::Http2(_) => "http/2",
            Self::Io(_) => "io",
        }
    }

    pub(super) fn from_io(error: &io::Error) -> Self {
        if let Some(failure) = TlsFailure::from_io(error) {
            return Self::Tls(failure);
        }
        // std has no kind for "too many open files" (EMFILE 24, ENFILE 23 on every Unix we build for).
        if matches!(error.raw_os_error(), Some(23 | 24)) {
            return Self::TooManyFiles;
        }
        // Nor for ENOMEM 12 and ENOBUFS 105, what Linux says when its memory for sockets is used up.
        if matches!(error.raw_os_error(), Some(12 | 105)) {
            return Self::NoSocketMemory;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::TimedOut => Self::ConnectTimedOut,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::AddrNotAvailable => Self::NoLocalPort,
            kind => Self::Io(kind),
        }
    }
}

impl ExchangeError {
    /// One word or two, stable, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ClosedWhileIdle => "closed while idle",
            Self::Unsolicited => "unsolicited bytes",
            Self::ClosedBeforeResponse => "closed before response",
            Self::ClosedInHead => "closed in head",
            Self::ClosedInBody => "closed in body",
            Self::Reset(_) => "reset",
            Self::Malformed(_) => "malformed",
            Self::HeadTooLarge => "head too large",
            Self::BodyTooLarge { .. } => "body too large",
            Self::NotProcessed(_) => "not processed",
            Self::StreamReset(_) => "stream reset",
            Self::GoneAway(_) => "gone away",
            Self::Unsendable(_) => "unsendable",
            Self::Tls(_) => "tls",
            Self::Io(_) => "io",
        }
    }

    /// Not a byte of the request went out, for it met a closed connection: any method may be repeated on a fresh one.
    pub fn sent_nothing(self) -> bool {
        matches!(self, Self::ClosedWhileIdle | Self::Unsolicited)
    }

    /// Not a byte of the request went out, and on no connection of this protocol would it.
    pub fn cannot_be_sent(self) -> bool {
        matches!(self, Self::Unsendable(_))
    }

    /// The server said that it has not looked at the request: any method may be repeated, on whatever connection (RFC 9113 section 8.7).
    pub fn not_processed(self) -> bool {
        matches!(self, Self::NotProcessed(_))
    }

    /// The connection ended before a byte of the response: on a connection that had been idle this is most likely the server
    /// closing it at the same moment, and RFC 9112 section 9.3.1 lets an idempotent request be repeated once.
    pub fn answered_nothing(self) -> bool {
        self.sent_nothing()
            || matches!(
                self,
                Self::ClosedBeforeResponse | Self::Reset(ResetWhile::Sending | ResetWhile::Waiting)
            )
    }
}

impl TlsFailure {
    /// The server did not take who the client is, which TLS 1.3 tells only after the client has begun.
    pub fn is_of_the_client(self) -> bool {
        matches!(self, Self::ClientCertificateWanted | Self::ClientCertificateRefused)
    }

    /// What rustls said, if it was rustls that failed.
    pub(super) fn from_io(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match inner {
            rustls::Error::InvalidCertificate(certificate) => Self::from_certificate(certificate),
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert),
            rustls::Error::PeerIncompatible(_) => Self::NothingInCommon,
            rustls::Error::NoApplicationProtocol => Self::NoProtocol,
            _ => Self::Protocol,
        })
    }

    fn from_alert(alert: rustls::AlertDescription) -> Self {
        use rustls::AlertDescription as A;
        match alert {
            A::CertificateRequired | A::NoCertificate => Self::ClientCertificateWanted,
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied => Self::ClientCertificateRefused,
            A::ProtocolVersion | A::InsufficientSecurity => Self::NothingInCommon,
            A::NoApplicationProtocol => Self::NoProtocol,
            _ => Self::Alert,
        }
    }

    fn from_certificate(error: &rustls::CertificateError) -> Self {
        use rustls::CertificateError as E;
        match error {
            E::UnknownIssuer => Self::UnknownIssuer,
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::WrongName,
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
                Self::NotValidNow
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::WrongPurpose,
            E::BadSignature => Self::BadSignature,
            // What webpki says and rustls has no word for; webpki itself is not ours to match on.
            E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::CaAsServer,
            _ => Self::BadCertificate,
        }
    }
}

impl From<Unsendable> for ExchangeError {
    fn from(what: Unsendable) -> Self {
        Self::Unsendable(what)
    }
}

impl From<Malformed> for ExchangeError {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ExchangeError>() <= 16);
        assert!(size_of::<TransportError>() <= 8);
    }

    #[test]
    fn only_what_never_left_counts_as_unsent() {
        assert!(ExchangeError::ClosedWhileIdle.sent_nothing());
        assert!(!ExchangeError::ClosedBeforeResponse.sent_nothing());
        assert!(ExchangeError::ClosedBeforeResponse.answered_nothing());
        assert!(!ExchangeError::Reset(ResetWhile::Receiving).answered_nothing());
        assert!(!ExchangeError::ClosedInHead.answered_nothing());
    }

    #[test]
    fn texts_say_what_and_limit() {
        assert_eq!(
            ExchangeError::Malformed(Malformed::ConflictingContentLength).to_string(),
            "malformed response: two content-lengths that differ"
        );
        assert_eq!(ExchangeError::HeadTooLarge.to_string(), "the response head is larger than 65536 bytes");
    }
}
