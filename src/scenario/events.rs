//! Steps on event streams: open, expect, listen, close. What they share with those on WebSockets stands in `socket`.

use super::builder::Builder;
use super::document::Node;
use super::keys;
use super::plan::{Method, Request, SseExpect, SseListen, SseOpen, Step, Wanted};
use super::reader::Fields;
use super::socket::Held;
use super::template::Template;
use super::template::parse::Place;
use crate::endpoint::Protocol;

/// What a client of event streams says (WHATWG HTML, section 9.2.2), unless the scenario says otherwise.
const HEADERS: [(&str, &str); 2] = [("accept", "text/event-stream"), ("cache-control", "no-cache")];

impl Builder<'_> {
    pub(super) fn sse_open(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let path = self.path(value, "sse_open")?;
        let stream = self.opens(Held::Stream, fields, value.span);
        let route = format!("GET {}", self.route(&path));
        let name = fields.get("name").and_then(|node| self.fixed(node, "`name`"));
        let name = name.unwrap_or_else(|| format!("SSE {}", &route["GET ".len()..]));
        let endpoint = self.endpoint(Protocol::Sse, &name, &route, value.span);
        let mut headers = fields.get("headers").map(|node| self.headers(node)).unwrap_or_default();
        for (name, value) in HEADERS {
            if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                headers.push((name.to_owned(), Template::text(value)));
            }
        }
        let expect =
            fields.get("expect").and_then(|node| Fields::open(node, &keys::SSE_OPEN_EXPECT, &mut self.sink));
        let timeout = expect.and_then(|fields| self.within(&fields)).unwrap_or(self.timeout);
        let reconnect = self.reconnect(fields);
        let request = Request {
            endpoint,
            method: Method::Get,
            path,
            headers,
            body: None,
            checks: Vec::new(),
            extracts: Vec::new(),
            timeout,
            keeps_body: false,
            keeps_head: false,
        };
        Some(Step::SseOpen(Box::new(SseOpen { stream, request, reconnect })))
    }

    pub(super) fn sse_expect(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let stream = self.open_one(Held::Stream, fields.get("stream"), value.span);
        let members = match value.scalar() {
            Some(_) if value.is_null() => Vec::new(),
            Some(scalar) => {
                self.sink.error(
                    value.span,
                    "`sse_expect` is a mapping of members the data must have, or empty",
                    format!(
                        "write {{sse_expect: , event: {0}}} for its name, {{type: {0}}} for a member",
                        scalar.text
                    ),
                );
                return None;
            }
            None => self.members(value, "`sse_expect`"),
        };
        let wanted = self.wanted(members, fields);
        let name = self.message_name(fields, &wanted.members, value, "sse_expect");
        let endpoint = self.endpoint(Protocol::Sse, &name, &format!("SSE {name}"), value.span);
        let within = self.within(fields).unwrap_or(self.timeout);
        let extracts = fields.get("extract").map(|node| self.extracts(node)).unwrap_or_default();
        self.refuse_headers(fields, &extracts);
        Some(Step::SseExpect(Box::new(SseExpect { endpoint, stream, wanted, within, extracts })))
    }

    pub(super) fn sse_listen(&mut self, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let for_time = self.think(value, "`sse_listen`");
        let stream = self.open_one(Held::Stream, fields.get("stream"), value.span);
        let members = fields.get("match").map(|node| self.members(node, "`match`")).unwrap_or_default();
        let wanted = self.wanted(members, fields);
        let pushed = self.pushed(fields, &wanted.members, Protocol::SseLag);
        Some(Step::SseListen(Box::new(SseListen { stream, for_time: for_time?, wanted, pushed })))
    }

    pub(super) fn sse_close(&mut self, value: &Node) -> Option<Step> {
        let stream = self.open_one(Held::Stream, Some(value), value.span);
        self.open_ones(Held::Stream).remove(&stream);
        Some(Step::SseClose { stream })
    }

    fn wanted(&mut self, members: Vec<(String, Template)>, fields: &Fields<'_>) -> Wanted {
        let mut template =
            |key: &str| fields.get(key).map(|node| self.template(node, &format!("`{key}`"), Place::Text));
        Wanted { event: template("event"), text: template("text"), members }
    }
}
