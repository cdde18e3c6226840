//! WebSocket steps: open, send, expect, listen, close.

use super::builder::Builder;
use super::document::{Node, Span};
use super::extract::{Extract, Pick, parse_pick};
use super::keys;
use super::plan::{Pushed, Reconnect, SocketId, Step, Think, WsExpect, WsListen, WsOpen, WsSend};
use super::problem::Problem;
use super::reader::{self, Fields};
use super::template::Template;
use super::template::parse::Place;
use crate::endpoint::Protocol;
use std::collections::BTreeSet;
use std::time::Duration;

/// The name of a socket or stream that has none.
const DEFAULT_NAME: &str = "default";

/// Waits between attempts to connect again, where the scenario gives none.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The two kinds of connection that stay open from one step to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Socket,
    Stream,
}

impl Held {
    fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Stream => "stream",
        }
    }

    fn opener(self) -> &'static str {
        match self {
            Self::Socket => "a ws_open",
            Self::Stream => "an sse_open",
        }
    }
}

/// Is this message the awaited one? Each rendered value must equal the member of that name: text by its characters, anything
/// else by its JSON form.
pub fn matches<'r>(
    message: &serde_json::Value,
    rendered: impl IntoIterator<Item = (&'r str, &'r [u8])>,
) -> bool {
    rendered.into_iter().all(|(member, wanted)| match message.get(member) {
        Some(serde_json::Value::String(text)) => text.as_bytes() == wanted,
        Some(other) => other.to_string().as_bytes() == wanted,
        None => false,
    })
}

impl Builder<'_> {
    fn names(&mut self, held: Held) -> &mut Vec<String> {
        match held {
            Held::Socket => &mut self.registry.sockets,
            Held::Stream => &mut self.registry.streams,
        }
    }

    pub(super) fn open_ones(&mut self, held: Held) -> &mut BTreeSet<u8> {
        match held {
            Held::Socket => &mut self.flow.sockets,
            Held::Stream => &mut self.flow.streams,
        }
    }

    fn held_id(&mut self, held: Held, name: &str, at: Span) -> u8 {
        let names = self.names(held);
        let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        if u8::try_from(index).is_err() {
            let what = held.name();
            self.sink.error(
                at,
                format!("more than 256 names of {what}s"),
                format!("use one name for {what}s that are never open together"),
            );
        }
        u8::try_from(index).unwrap_or(u8::MAX)
    }

    /// A socket or stream that a step opens under the name of its `as`.
    pub(super) fn opens(&mut self, held: Held, fields: &Fields<'_>, at: Span) -> u8 {
        let name = fields.get("as").and_then(|node| self.fixed(node, "`as`"));
        let id = self.held_id(held, name.as_deref().unwrap_or(DEFAULT_NAME), at);
        self.open_ones(held).insert(id);
        id
    }

    /// The socket or stream a step works on: it must have been opened before.
    pub(super) fn open_one(&mut self, held: Held, node: Option<&Node>, at: Span) -> u8 {
        let what = held.name();
        let node = node.filter(|node| !node.is_null());
        let name = node.and_then(|node| self.fixed(node, &format!("a {what}")));
        let at = node.map_or(at, |node| node.span);
        let name = name.as_deref().unwrap_or(DEFAULT_NAME);
        let known = self.names(held).clone();
        let id = self.held_id(held, name, at);
        if self.follow && !self.open_ones(held).contains(&id) {
            let open: Vec<&str> = self
                .open_ones(held)
                .iter()
                .filter_map(|id| known.get(usize::from(*id)))
                .map(String::as_str)
                .collect();
            let help = match open.as_slice() {
                [] => format!("put {} step before it", held.opener()),
                open => format!("open here: {}; write {what}: {}", open.join(", "), open[0]),
            };
            self.sink.push(Problem::error(at, format!("no {what} `{name}` is open here")).help(help));
        }
        id
    }

    fn open_socket(&mut self, node: Option<&Node>, at: Span) -> SocketId {
        self.open_one(Held::Socket, node, at)
    }

    /// `{max: 3, backoff: 1s..10s}`.
    pub(super) fn reconnect(&mut self, fields: &Fields<'_>) -> Option<Reconnect> {
        const HELP: &str = "write reconnect: {max: 3, backoff: 1s..10s}";
        let rules = Fields::open(fields.get("reconnect")?, &keys::RECONNECT, &mut self.sink)?;
        let max = rules.need("max", HELP, &mut self.sink);
        let max = max.and_then(|node| reader::count_u32(node, "`max`", &mut self.sink));
        let (wait_min, wait_max) = match rules.get("backoff") {
            None => BACKOFF,
            Some(node) => match self.think(node, "`backoff`")? {
                Think::Uniform { low, high } if !high.is_zero() => (low, high),
                Think::Constant(wait) if !wait.is_zero() => (wait, wait),
                _ => {
                    self.sink.error(node.span, "`backoff` is a span of time above zero", HELP);
                    return None;
                }
            },
        };
        Some(Reconnect { max: max?, wait_min, wait_max })
    }

    pub(super) fn ws_open(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let path = self.path(value, "ws_open")?;
        let socket = self.opens(Held::Socket, fields, value.span);
        let route = format!("GET {}", self.route(&path));
        let name = fields.get("name").and_then(|node| self.fixed(node, "`name`"));
        let name = name.unwrap_or_else(|| format!("WS {}", &route["GET ".len()..]));
        let endpoint = self.endpoint(Protocol::Ws, &name, &route, value.span);
        let headers = fields.get("headers").map(|node| self.headers(node)).unwrap_or_default();
        let subprotocol = fields.get("subprotocol").and_then(|node| self.fixed(node, "`subprotocol`"));
        let expect =
            fields.get("expect").and_then(|node| Fields::open(node, &keys::WS_OPEN_EXPECT, &mut self.sink));
        let within = expect.and_then(|fields| self.within(&fields)).unwrap_or(self.timeout);
        let reconnect = self.reconnect(fields);
        let open = WsOpen { endpoint, socket, path, headers, subprotocol, within, reconnect };
        Some(Step::WsOpen(Box::new(open)))
    }

    pub(super) fn ws_send(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let socket = self.open_socket(fields.get("socket"), value.span);
        let mut flag = |key: &str| {
            let node = fields.get(key)?;
            reader::boolean(node, &format!("`{key}`"), &mut self.sink)
        };
        let (binary, resend) = (flag("binary").unwrap_or(false), flag("resend").unwrap_or(false));
        Some(Step::WsSend(Box::new(WsSend { socket, message: self.message(value), binary, resend })))
    }

    /// A mapping or list is sent as JSON, a text as it is.
    fn message(&mut self, node: &Node) -> Template {
        if node.scalar().is_some() { self.template(node, "a message", Place::Text) } else { self.json(node) }
    }

    pub(super) fn ws_expect(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let socket = self.open_socket(fields.get("socket"), value.span);
        let matches = self.members(value, "`ws_expect`");
        let name = self.message_name(fields, &matches, value, "ws_expect");
        let endpoint = self.endpoint(Protocol::Ws, &name, &format!("WS {name}"), value.span);
        let within = self.within(fields).unwrap_or(self.timeout);
        let extracts = fields.get("extract").map(|node| self.extracts(node)).unwrap_or_default();
        self.refuse_headers(fields, &extracts);
        Some(Step::WsExpect(Box::new(WsExpect { endpoint, socket, matches, within, extracts })))
    }

    pub(super) fn refuse_headers(&mut self, fields: &Fields<'_>, extracts: &[Extract]) {
        if let Some(extract) = extracts.iter().find(|extract| !extract.pick.reads_body()) {
            self.sink.error(
                fields.key_span("extract"),
                format!("a message has no `{}`", extract.pick),
                "messages have no headers: use a JSONPath",
            );
        }
    }

    pub(super) fn ws_listen(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let for_time = self.think(value, "`ws_listen`");
        let socket = self.open_socket(fields.get("socket"), value.span);
        let matches = fields.get("match").map(|node| self.members(node, "`match`")).unwrap_or_default();
        let pushed = self.pushed(fields, &matches, Protocol::WsLag);
        let every = match (fields.get("every"), fields.get("send")) {
            (Some(every), Some(send)) => {
                let message = self.message(send);
                reader::lasting(every, "`every`", &mut self.sink).map(|time| (time, message))
            }
            (Some(_), None) => {
                self.sink.error(
                    fields.key_span("every"),
                    "`every` without `send`",
                    "say what is sent: send: {type: ping}",
                );
                None
            }
            (None, Some(_)) => {
                self.sink.error(
                    fields.key_span("send"),
                    "`send` without `every`",
                    "say how often: every: 30s",
                );
                None
            }
            (None, None) => None,
        };
        Some(Step::WsListen(Box::new(WsListen { socket, for_time: for_time?, matches, pushed, every })))
    }

    pub(super) fn ws_close(&mut self, value: &Node) -> Option<Step> {
        let socket = self.open_socket(Some(value), value.span);
        self.flow.sockets.remove(&socket);
        Some(Step::WsClose { socket })
    }

    /// What is measured of what a listening step hears.
    pub(super) fn pushed(
        &mut self,
        fields: &Fields<'_>,
        matches: &[(String, Template)],
        protocol: Protocol,
    ) -> Pushed {
        let lag = fields.get("lag").and_then(|node| {
            let name = self.message_name(fields, matches, node, "lag");
            let what = if protocol == Protocol::SseLag { "SSE" } else { "WS" };
            let endpoint = self.endpoint(protocol, &name, &format!("{what} {name}"), node.span);
            self.number_of(node, "`lag`").map(|pick| (endpoint, pick))
        });
        let sequence = fields.get("sequence").and_then(|node| self.number_of(node, "`sequence`"));
        Pushed { lag, sequence }
    }

    /// JSON members that a message must carry.
    pub(super) fn members(&mut self, node: &Node, what: &str) -> Vec<(String, Template)> {
        let Some(entries) = node.entries() else {
            self.sink.error(
                node.span,
                format!("{what} is a mapping of members the message must have"),
                "write {type: subscribed, id: \"${id}\"}",
            );
            return Vec::new();
        };
        entries
            .iter()
            .map(|entry| (entry.key.clone(), self.template(&entry.value, "a member", Place::Text)))
            .collect()
    }

    pub(super) fn message_name(
        &mut self,
        fields: &Fields<'_>,
        matches: &[(String, Template)],
        at: &Node,
        verb: &str,
    ) -> String {
        if let Some(node) = fields.get("name") {
            return self.fixed(node, "`name`").unwrap_or_default();
        }
        // An event has a name of its own; where that varies, it is no name for a statistic.
        if let Some(event) = fields.get("event").and_then(|node| node.scalar()).map(|scalar| &scalar.text)
            && !event.contains("${")
        {
            return event.clone();
        }
        let kind = matches.iter().find(|(member, _)| member == "type").and_then(|(_, value)| value.literal());
        match kind {
            Some(kind) => kind.to_owned(),
            None => {
                self.sink.error(
                    at.span,
                    format!("this {verb} needs a `name`"),
                    "add name: subscribe-ack; without it the `type` it matches is the name",
                );
                verb.to_owned()
            }
        }
    }

    fn number_of(&mut self, node: &Node, what: &str) -> Option<Pick> {
        let text = reader::text(node, what, &mut self.sink)?;
        match parse_pick(text) {
            Ok(pick @ Pick::Json { .. }) => Some(pick),
            Ok(_) => {
                self.sink.error(node.span, format!("{what} is a JSONPath to a number"), "write $.sent_at_ms");
                None
            }
            Err((message, help)) => {
                self.sink.error(node.span, message, help);
                None
            }
        }
    }
}
