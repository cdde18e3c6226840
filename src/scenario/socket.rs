//! WebSocket steps: open, send, expect, listen, close.

use super::builder::Builder;
use super::document::{Node, Span};
use super::extract::{Pick, parse_pick};
use super::keys;
use super::plan::{SocketId, Step, WsExpect, WsListen, WsOpen};
use super::problem::Problem;
use super::reader::{self, Fields};
use super::template::Template;
use super::template::parse::Place;
use crate::endpoint::Protocol;

/// The name of a socket that has none.
const DEFAULT_SOCKET: &str = "default";

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
    fn socket_id(&mut self, name: &str, at: Span) -> SocketId {
        let sockets = &mut self.registry.sockets;
        let index = sockets.iter().position(|known| known == name).unwrap_or_else(|| {
            sockets.push(name.to_owned());
            sockets.len() - 1
        });
        if SocketId::try_from(index).is_err() {
            self.sink.error(
                at,
                "more than 256 names of sockets",
                "use one name for sockets that are never open together",
            );
        }
        SocketId::try_from(index).unwrap_or(SocketId::MAX)
    }

    /// The socket a step works on: it must have been opened before.
    fn open_socket(&mut self, node: Option<&Node>, at: Span) -> SocketId {
        let name = node.filter(|node| !node.is_null()).and_then(|node| self.fixed(node, "a socket"));
        let at = node.filter(|node| !node.is_null()).map_or(at, |node| node.span);
        let name = name.as_deref().unwrap_or(DEFAULT_SOCKET);
        let known = self.registry.sockets.clone();
        let id = self.socket_id(name, at);
        if self.follow && !self.flow.sockets.contains(&id) {
            let open: Vec<&str> = self
                .flow
                .sockets
                .iter()
                .filter_map(|id| known.get(usize::from(*id)))
                .map(String::as_str)
                .collect();
            let help = match open.as_slice() {
                [] => "put a ws_open step before it".to_owned(),
                open => format!("open here: {}; write socket: {}", open.join(", "), open[0]),
            };
            self.sink.push(Problem::error(at, format!("no socket `{name}` is open here")).help(help));
        }
        id
    }

    pub(super) fn ws_open(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let path = self.path(value, "ws_open")?;
        let socket_name = fields
            .get("as")
            .and_then(|node| self.fixed(node, "`as`"))
            .unwrap_or_else(|| DEFAULT_SOCKET.into());
        let socket = self.socket_id(&socket_name, value.span);
        self.flow.sockets.insert(socket);
        let route = format!("GET {}", self.route(&path));
        let name = fields.get("name").and_then(|node| self.fixed(node, "`name`"));
        let name = name.unwrap_or_else(|| format!("WS {}", &route["GET ".len()..]));
        let endpoint = self.endpoint(Protocol::Ws, &name, &route, value.span);
        let headers = fields.get("headers").map(|node| self.headers(node)).unwrap_or_default();
        let subprotocol = fields.get("subprotocol").and_then(|node| self.fixed(node, "`subprotocol`"));
        let expect =
            fields.get("expect").and_then(|node| Fields::open(node, &keys::WS_OPEN_EXPECT, &mut self.sink));
        let within = expect.and_then(|fields| self.within(&fields)).unwrap_or(self.timeout);
        Some(Step::WsOpen(Box::new(WsOpen { endpoint, socket, path, headers, subprotocol, within })))
    }

    pub(super) fn ws_send(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let socket = self.open_socket(fields.get("socket"), value.span);
        let binary = fields
            .get("binary")
            .and_then(|node| reader::boolean(node, "`binary`", &mut self.sink))
            .unwrap_or(false);
        Some(Step::WsSend { socket, message: self.message(value), binary })
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
        if let Some(extract) = extracts.iter().find(|extract| !extract.pick.reads_body()) {
            self.sink.error(
                fields.key_span("extract"),
                format!("a message has no `{}`", extract.pick),
                "messages have no headers: use a JSONPath",
            );
        }
        Some(Step::WsExpect(Box::new(WsExpect { endpoint, socket, matches, within, extracts })))
    }

    pub(super) fn ws_listen(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let for_time = self.think(value, "`ws_listen`");
        let socket = self.open_socket(fields.get("socket"), value.span);
        let matches = fields.get("match").map(|node| self.members(node, "`match`")).unwrap_or_default();
        let lag = fields.get("lag").and_then(|node| {
            let name = self.message_name(fields, &matches, node, "lag");
            let endpoint = self.endpoint(Protocol::WsLag, &name, &format!("WS {name}"), node.span);
            self.number_of(node, "`lag`").map(|pick| (endpoint, pick))
        });
        let sequence = fields.get("sequence").and_then(|node| self.number_of(node, "`sequence`"));
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
        Some(Step::WsListen(Box::new(WsListen {
            socket,
            for_time: for_time?,
            matches,
            lag,
            sequence,
            every,
        })))
    }

    pub(super) fn ws_close(&mut self, value: &Node) -> Option<Step> {
        let socket = self.open_socket(Some(value), value.span);
        self.flow.sockets.remove(&socket);
        Some(Step::WsClose { socket })
    }

    /// JSON members that a message must carry.
    fn members(&mut self, node: &Node, what: &str) -> Vec<(String, Template)> {
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

    fn message_name(
        &mut self,
        fields: &Fields<'_>,
        matches: &[(String, Template)],
        at: &Node,
        verb: &str,
    ) -> String {
        if let Some(node) = fields.get("name") {
            return self.fixed(node, "`name`").unwrap_or_default();
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
