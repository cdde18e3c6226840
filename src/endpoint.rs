//! What an endpoint is called by the layers that do not know scenarios: a number and a protocol.

/// Index of an endpoint among those of the plan.
pub type EndpointId = u16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    Ws,
    /// Server push to receipt, for messages that carry their sending time.
    WsLag,
}

impl Protocol {
    /// The name in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ws => "ws",
            Self::WsLag => "ws.lag",
        }
    }
}
