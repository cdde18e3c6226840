//! One exchange as it was seen: three instants, what became of it, and its bytes.

use crate::clock::Nanos;
use crate::endpoint::EndpointId;
use serde::{Deserialize, Serialize};

/// What became of an exchange. The first is success; every other is a failure with a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    Ok,
    /// An answer with a status the step did not expect.
    Status,
    /// An answer that a check rejected.
    Check,
    /// An answer from which a variable could not be captured.
    Extract,
    /// A variable of the request was not set when it was to be sent, or holds what the protocol cannot carry; nothing was sent.
    Unbound,
    /// No connection: refused, unreachable, TLS, or closed before it was used.
    Connect,
    /// No connection within the time-out for it.
    ConnectTimeout,
    /// No connection because this process has no descriptor, port or memory for sockets left.
    Generator,
    /// No complete answer within the step's time-out.
    Timeout,
    /// The connection broke before the answer was complete.
    Reset,
    /// Bytes that are no answer of the protocol.
    Protocol,
}

impl Outcome {
    /// The name in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Status => "status",
            Self::Check => "check",
            Self::Extract => "extract",
            Self::Unbound => "unbound",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Generator => "generator",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
        }
    }

    /// Whether somebody waited: for an answer, or in vain. What broke off on the wire, or never got a connection, took at least as long as it
    /// lasted. A refused connection fails in microseconds, and what was never sent took no time: counted as slow or as fast they would only
    /// distort the distribution, so they are counted as failed and nothing else.
    pub fn has_response_time(self) -> bool {
        !matches!(self, Self::Unbound | Self::Connect | Self::Generator)
    }

    /// The same for the time since its first byte was sent.
    pub fn has_service_time(self) -> bool {
        self.has_response_time() && self != Self::ConnectTimeout
    }

    /// There was no connection to send it on, whatever the reason but this process.
    pub fn is_without_connection(self) -> bool {
        matches!(self, Self::Connect | Self::ConnectTimeout)
    }
}

/// Response time is `done − intended`, service time `done − sent`.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub endpoint: EndpointId,
    /// When the plan wanted it to start; for a user who only thinks between steps, when it was ready to send.
    pub intended_ns: Nanos,
    /// Just before the first byte was written.
    pub sent_ns: Nanos,
    /// After the last byte was read.
    pub done_ns: Nanos,
    pub outcome: Outcome,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// A request that has begun and not ended.
#[derive(Clone, Copy, Debug)]
pub struct UnderWay {
    pub endpoint: EndpointId,
    pub intended_ns: Nanos,
    /// `None` while there is no connection to send it on.
    pub sent_ns: Option<Nanos>,
}
