//! Request steps: `get`, `post`, … with their headers, bodies, checks and extracts.

use super::builder::Builder;
use super::check::{Check, Statuses};
use super::document::Node;
use super::extract::{Extract, parse_pick};
use super::keys;
use super::plan::{Method, Request, Step};
use super::problem::Problem;
use super::reader::{self, Fields};
use super::template::parse::{Place, TemplateBuilder};
use super::template::{Segment, Template};
use crate::endpoint::Protocol;
use std::time::Duration;

impl Builder<'_> {
    pub(super) fn request(&mut self, verb: &str, value: &Node, fields: &Fields<'_>) -> Option<Step> {
        let method = match verb {
            "post" => Method::Post,
            "put" => Method::Put,
            "patch" => Method::Patch,
            "delete" => Method::Delete,
            "head" => Method::Head,
            _ => Method::Get,
        };
        let path = self.path(value, verb)?;
        let route = format!("{} {}", verb.to_uppercase(), self.route(&path));
        let name = self.request_name(fields, &path, value, &route);
        let endpoint = self.endpoint(
            Protocol::Http,
            &name,
            &route,
            fields.get("name").map_or(value.span, |node| node.span),
        );
        let mut headers = fields.get("headers").map(|node| self.headers(node)).unwrap_or_default();
        let body = self.body(fields, &mut headers);
        if let (Some(at), Method::Get | Method::Head) = (body.as_ref().map(|(_, at)| *at), method) {
            self.sink.push(
                Problem::warning(at, format!("a {} request with a body", verb.to_uppercase()))
                    .help("many servers ignore or refuse it; was `post` meant?"),
            );
        }
        let checks = self.checks(fields.get("expect"));
        let extracts = fields.get("extract").map(|node| self.extracts(node)).unwrap_or_default();
        let timeout =
            fields.get("timeout").and_then(|node| reader::lasting(node, "`timeout`", &mut self.sink));
        let keeps_body =
            checks.iter().any(Check::reads_body) || extracts.iter().any(|extract| extract.pick.reads_body());
        let keeps_head =
            checks.iter().any(Check::reads_head) || extracts.iter().any(|extract| !extract.pick.reads_body());
        if method == Method::Head && keeps_body {
            self.sink.error(
                value.span,
                "the answer to HEAD has no body to look at",
                "use `get`, or look at a header",
            );
        }
        Some(Step::Request(Box::new(Request {
            endpoint,
            method,
            path,
            headers,
            body: body.map(|(template, _)| template),
            checks,
            extracts,
            timeout: timeout.unwrap_or(self.timeout),
            keeps_body,
            keeps_head,
        })))
    }

    /// A path with its query; the host stands in `target`.
    pub(super) fn path(&mut self, node: &Node, verb: &str) -> Option<Template> {
        let text = reader::text(node, "a path", &mut self.sink)?;
        if text.contains("://") && !text.starts_with('/') && !text.starts_with("${") {
            let path = text
                .split("://")
                .nth(1)
                .and_then(|rest| rest.find('/').map(|slash| &rest[slash..]))
                .unwrap_or("/");
            self.sink.error(
                node.span,
                "a step holds a path; the host stands in `target`",
                format!("write {verb}: {path}"),
            );
            return None;
        }
        let mut template = self.template(node, "a path", Place::Path);
        match template.segments.first() {
            Some(Segment::Text(start)) if start.starts_with('/') => {}
            // A captured link (`Location: /orders/7`) is a whole path: encoding its slashes would break it.
            Some(Segment::Url(expression)) if text.starts_with("${") => {
                template.segments[0] = Segment::Value(expression.clone())
            }
            _ => {
                self.sink.error(
                    node.span,
                    format!("the path `{text}` does not begin with `/`"),
                    format!("write {verb}: /{text}"),
                );
                return None;
            }
        }
        let unfit = |segment: &Segment| matches!(segment, Segment::Text(text) if text.bytes().any(|b| b <= b' ' || b >= 0x7f));
        if template.segments.iter().any(unfit) {
            self.sink.error(
                node.span,
                "a path holds only visible ASCII",
                "write %20 for a blank and percent-encode other characters",
            );
        }
        Some(template)
    }

    fn request_name(&mut self, fields: &Fields<'_>, path: &Template, at: &Node, route: &str) -> String {
        if let Some(node) = fields.get("name") {
            return self.fixed(node, "`name`").unwrap_or_else(|| route.to_owned());
        }
        let mut before_query = path
            .segments
            .iter()
            .take_while(|segment| !matches!(segment, Segment::Text(text) if text.contains('?')));
        if before_query.any(|segment| !matches!(segment, Segment::Text(_))) {
            let last =
                route.rsplit('/').find(|part| !part.is_empty() && !part.starts_with('{')).unwrap_or("page");
            self.sink.push(
                Problem::error(at.span, "this request needs a `name`, because its path changes").help(
                    format!(
                        "add name: {}; one statistic per endpoint, never one per id",
                        last.trim_end_matches('s')
                    ),
                ),
            );
        }
        route.to_owned()
    }

    fn body(
        &mut self,
        fields: &Fields<'_>,
        headers: &mut Vec<(String, Template)>,
    ) -> Option<(Template, super::document::Span)> {
        let kinds = ["json", "form", "body"];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| fields.get(kind).is_some()).collect();
        if let [first, second, ..] = given.as_slice() {
            self.sink.push(
                Problem::error(
                    fields.key_span(second),
                    format!("this request has two bodies: `{first}` and `{second}`"),
                )
                .label(fields.key_span(first), "the first")
                .help("keep one of them"),
            );
        }
        let kind = *given.first()?;
        let node = fields.get(kind)?;
        let (body, content_type) = match kind {
            "json" => (self.json(node), Some("application/json")),
            "form" => (self.form(node), Some("application/x-www-form-urlencoded")),
            _ => (self.template(node, "`body`", Place::Text), None),
        };
        let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some(content_type) = content_type.filter(|_| !named) {
            headers.push(("content-type".into(), Template::text(content_type)));
        }
        Some((body, fields.key_span(kind)))
    }

    fn form(&mut self, node: &Node) -> Template {
        let mut builder = TemplateBuilder::default();
        let Some(entries) = node.entries() else {
            self.sink.error(node.span, "`form` is a mapping", "write form: {email: \"${data.users.email}\"}");
            return builder.finish();
        };
        for (index, entry) in entries.iter().enumerate() {
            builder.text(if index == 0 { "" } else { "&" });
            builder.text(&super::template::percent_encoded(&entry.key));
            builder.text("=");
            // Values are encoded as a whole, literal parts too: in a form nobody means `&` as a separator.
            for segment in self.template(&entry.value, "a form field", Place::Path).segments {
                match segment {
                    Segment::Text(text) => builder.text(&super::template::percent_encoded(&text)),
                    other => builder.value(other),
                }
            }
        }
        builder.finish()
    }

    fn checks(&mut self, node: Option<&Node>) -> Vec<Check> {
        let Some(fields) = node.and_then(|node| Fields::open(node, &keys::EXPECT, &mut self.sink)) else {
            return vec![Check::default_status()];
        };
        let mut checks = vec![match fields.get("status") {
            Some(node) => Check::Status(self.statuses(node)),
            None => Check::default_status(),
        }];
        if let Some(node) = fields.get("body") {
            let conditions = match &node.kind {
                super::document::Kind::List(items) => items.iter().collect(),
                _ => vec![node],
            };
            for node in conditions {
                checks.extend(self.condition(node, "`body`").map(Check::Body));
            }
        }
        if let Some(node) = fields.get("header") {
            let Some(entries) = node.entries() else {
                self.sink.error(
                    node.span,
                    "`header` is a mapping from names to values",
                    "write header: {content-type: application/json}",
                );
                return checks;
            };
            for entry in entries {
                let value = if entry.value.is_null() {
                    Template::default()
                } else {
                    self.template(&entry.value, "a header", Place::Text)
                };
                checks.push(Check::Header { name: entry.key.as_str().into(), value });
            }
        }
        checks.extend(self.within(&fields).map(Check::Within));
        checks
    }

    pub(super) fn within(&mut self, fields: &Fields<'_>) -> Option<Duration> {
        fields.get("within").and_then(|node| reader::lasting(node, "`within`", &mut self.sink))
    }

    fn statuses(&mut self, node: &Node) -> Statuses {
        let items: Vec<&Node> = match &node.kind {
            super::document::Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut statuses = Vec::new();
        for item in items {
            let Some(text) = reader::text(item, "a status", &mut self.sink) else { continue };
            match Statuses::parse_one(text) {
                Some(range) => statuses.push(range),
                None => self.sink.error(
                    item.span,
                    format!("`{text}` is not a status"),
                    "write 200, 2xx or [201, 202]",
                ),
            }
        }
        Statuses(statuses)
    }

    pub(super) fn extracts(&mut self, node: &Node) -> Vec<Extract> {
        let Some(entries) = node.entries() else {
            self.sink.error(
                node.span,
                "`extract` is a mapping from names to what they take",
                "write extract: {token: $.token}",
            );
            return Vec::new();
        };
        let mut extracts = Vec::new();
        for entry in entries {
            let slot = self.capture(&entry.key, entry.key_span);
            self.assign(slot);
            let Some(text) = reader::text(&entry.value, "an extract", &mut self.sink) else { continue };
            match parse_pick(text) {
                Ok(pick) => extracts.push(Extract { slot, pick }),
                Err((message, help)) => self.sink.error(entry.value.span, message, help),
            }
        }
        extracts
    }
}
