//! What an error of the HTTP/2 library means for a request: the library says which frame or rule, the log says how far things were.

use super::wire::{Broken, Log, Seen};
use crate::limits;
use crate::transport::error::{ExchangeError, Malformed, ResetWhile, TransportError};
use h2::{Error, Reason};
use std::io;

/// Before a request could be sent.
pub(super) fn of_beginning(log: &Log, error: &Error) -> TransportError {
    if log.speaks_http1.get() {
        return TransportError::NotHttp2;
    }
    match log.broken.get() {
        Some(Broken::Tls(failure)) => TransportError::Tls(failure),
        Some(Broken::Io(kind)) => TransportError::from_io(&io::Error::from(kind)),
        // The server gave a reason, or broke a rule for which the library gives one.
        _ => match error.reason() {
            Some(reason) => TransportError::Http2(reason),
            None => TransportError::NotHttp2,
        },
    }
}

/// On stream `number`, or before it had one (0).
pub(super) fn of_stream(log: &Log, seen: Seen, number: u32, error: &Error) -> ExchangeError {
    let reason = error.reason().unwrap_or(Reason::INTERNAL_ERROR);
    if error.is_library() {
        // The library refuses a head that is too long as it does one that is wrong. Huffman codes shorten text by three eighths at most.
        if seen.head_bytes > limits::RESPONSE_HEAD_BYTES_MAX as u64 / 2 {
            return ExchangeError::HeadTooLarge;
        }
        return Malformed::Http2(reason).into();
    }
    if error.is_reset() {
        return match reason {
            Reason::REFUSED_STREAM => ExchangeError::NotProcessed(reason),
            reason => ExchangeError::StreamReset(reason),
        };
    }
    if seen.sent_ns == 0 {
        return ExchangeError::ClosedWhileIdle;
    }
    match log.leaving.get() {
        Some((last, reason)) if number > last => return ExchangeError::NotProcessed(reason),
        Some((_, reason)) => return ExchangeError::GoneAway(reason),
        None => {}
    }
    match log.broken.get() {
        Some(Broken::Tls(failure)) => ExchangeError::Tls(failure),
        Some(Broken::Io(kind)) => broken_off(kind, seen),
        Some(Broken::Closed) | None if seen.first_byte_ns == 0 => ExchangeError::ClosedBeforeResponse,
        Some(Broken::Closed) | None => ExchangeError::ClosedInBody,
    }
}

fn broken_off(kind: io::ErrorKind, seen: Seen) -> ExchangeError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    if !matches!(kind, ConnectionReset | ConnectionAborted | BrokenPipe) {
        return ExchangeError::Io(kind);
    }
    ExchangeError::Reset(match seen {
        Seen { first_byte_ns: 1.., .. } => ResetWhile::Receiving,
        Seen { request_out: true, .. } => ResetWhile::Waiting,
        _ => ResetWhile::Sending,
    })
}
