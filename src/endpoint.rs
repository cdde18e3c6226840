//! What requests are counted under: an endpoint, its number and its protocol, for the layers that do not know scenarios.

/// Index of an endpoint among those of the plan.
pub type EndpointId = u16;

/// What failed and is no request: a step that only computes.
pub const NO_REQUEST: EndpointId = EndpointId::MAX;

/// The name under which people know an endpoint of the plan.
pub fn name_of(endpoints: &[Endpoint], id: EndpointId) -> String {
    endpoints.get(usize::from(id)).map_or("(no request)", |endpoint| endpoint.name.as_str()).to_owned()
}

/// One line of every table of results: requests of one name on one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub protocol: Protocol,
    /// The route as written, for people and for `target explain`: `GET /api/products/{product_id}` with templates in braces.
    pub route: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    Ws,
    /// Server push to receipt, for messages that carry their sending time.
    WsLag,
    /// Opening of an event stream, and events that were waited for.
    Sse,
    SseLag,
}

impl Protocol {
    /// The name in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ws => "ws",
            Self::WsLag => "ws.lag",
            Self::Sse => "sse",
            Self::SseLag => "sse.lag",
        }
    }
}
