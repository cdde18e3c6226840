//! The sections around the journeys: target, safety, vars, secrets.

use super::builder::{Builder, plain_json};
use super::document::{Node, Span};
use super::generator_limits::GeneratorLimits;
use super::keys;
use super::plan::{BaseUrl, Connections, Safety, Target, TargetKind};
use super::reader::{self, Fields};
use super::template::{Template, Value, parse::Place};
use super::tls::Home;
use crate::limits::TARGET_REPLICAS_MAX;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

impl Builder<'_> {
    pub(super) fn vars(&mut self, node: &Node) {
        let Some(entries) = node.entries() else {
            self.sink.error(node.span, "`vars` is a mapping", "write vars: {page_size: 24}");
            return;
        };
        for entry in entries {
            if !reader::is_name(&entry.key) {
                self.sink.error(
                    entry.key_span,
                    format!("`{}` cannot name a variable", entry.key),
                    "letters, digits, `_` and `-`, beginning with a letter",
                );
            }
            let json = entry
                .value
                .scalar()
                .filter(|scalar| scalar.plain)
                .and_then(|scalar| plain_json(&scalar.text));
            let value = match json {
                Some(json) => Some(Value::Json(json.into())),
                None => self.fixed(&entry.value, "a variable").map(|text| Value::Text(text.into())),
            };
            // Kept even when it is wrong, so that its uses are not reported as well.
            self.constants.insert(entry.key.clone(), value.unwrap_or(Value::Text("".into())));
        }
    }

    pub(super) fn secrets(&mut self, node: &Node) {
        let Some(entries) = node.entries() else {
            self.sink.error(node.span, "`secrets` is a mapping", "write secrets: {key: {env: NAME}}");
            return;
        };
        for entry in entries {
            let Some(fields) = Fields::open(&entry.value, &keys::SECRET, &mut self.sink) else { continue };
            let help = "secrets come from the environment: {env: NAME}";
            let Some(env) = fields.need("env", help, &mut self.sink) else { continue };
            let Some(name) = reader::text(env, "the name of an environment variable", &mut self.sink) else {
                continue;
            };
            let value = (self.env)(name);
            if value.as_ref().is_none_or(String::is_empty) {
                self.sink.error(
                    env.span,
                    format!("the environment variable `{name}` is not set"),
                    format!("set {name} before the run; the secret is not written anywhere"),
                );
            }
            self.secrets.insert(entry.key.clone(), value.unwrap_or_default());
        }
    }

    pub(super) fn target(&mut self, node: &Node, safety: &Safety, home: &Home<'_>) -> Option<Target> {
        let fields = Fields::open(node, &keys::TARGET, &mut self.sink)?;
        let url = |builder: &mut Self, key: &str, schemes: [&str; 2]| {
            let node = fields.get(key)?;
            let text = builder.fixed(node, "a base URL")?;
            let parsed = base_url(&text, schemes);
            let url = parsed
                .map_err(|message| {
                    builder.sink.error(node.span, message, format!("write {}://host:port", schemes[0]))
                })
                .ok()?;
            if !safety.allows(&url.host) {
                let help = format!("add it when you may load it: safety: {{allow_hosts: [{}]}}", url.host);
                builder.sink.error(
                    node.span,
                    format!("`{}` is not this machine, and `safety.allow_hosts` does not name it", url.host),
                    help,
                );
            }
            Some(url)
        };
        let http = url(self, "http", ["http", "https"]);
        let ws = url(self, "ws", ["ws", "wss"]);
        let kind = match (fields.get("bundled"), fields.get("http").or(fields.get("ws"))) {
            (Some(bundled), None) => self.bundled(bundled, fields.get("replicas"), fields.get("dials")),
            (None, Some(_)) => {
                for key in ["dials", "replicas"].into_iter().filter(|key| fields.get(key).is_some()) {
                    self.sink.error(
                        fields.key_span(key),
                        format!("only the bundled target has {key}"),
                        format!("write bundled: baseline, or leave `{key}` out"),
                    );
                }
                // One address serves both when only one is given.
                let (http, ws) = (http.clone().or_else(|| ws.clone()), ws.or(http));
                Some(TargetKind::External { http, ws })
            }
            (Some(_), Some(_)) => {
                self.sink.error(
                    fields.key_span("bundled"),
                    "the target is either the bundled one or a URL",
                    "keep one of the two",
                );
                None
            }
            (None, None) => {
                self.sink.error(
                    fields.span,
                    "`target` names nothing to load",
                    "write http: http://127.0.0.1:8080, or bundled: baseline",
                );
                None
            }
        };
        let duration = |builder: &mut Self, key: &str, otherwise| {
            fields
                .get(key)
                .and_then(|node| reader::lasting(node, key, &mut builder.sink))
                .unwrap_or(otherwise)
        };
        let (timeout, connect_timeout) =
            (duration(self, "timeout", TIMEOUT), duration(self, "connect_timeout", CONNECT_TIMEOUT));
        let headers = fields.get("headers").map(|node| self.headers(node)).unwrap_or_default();
        let http_version = self.http_version(&fields, kind.as_ref());
        let connections =
            fields.get("connections").and_then(|node| self.connections(node)).unwrap_or(Connections::PerUser);
        let tls = self.tls(fields.get("tls"), home);
        let connect_to =
            fields.get("connect_to").map(|node| self.connect_to(node, safety)).unwrap_or_default();
        if !connect_to.is_empty() && matches!(kind, Some(TargetKind::Bundled { .. })) {
            let help = "leave it out: the bundled target is where it was started";
            self.sink.error(fields.key_span("connect_to"), "only a target given by URL has addresses", help);
        }
        let kind = kind?;
        Some(Target { kind, timeout, connect_timeout, connect_to, connections, headers, http_version, tls })
    }

    fn bundled(&mut self, node: &Node, replicas: Option<&Node>, dials: Option<&Node>) -> Option<TargetKind> {
        let profile = self.fixed(node, "a profile of the bundled target")?;
        let replicas = replicas.and_then(|node| self.replicas(node));
        let mut settings = Vec::new();
        if let Some(dials) = dials.filter(|node| !node.is_null()) {
            let Some(entries) = dials.entries() else {
                self.sink.error(
                    dials.span,
                    "`dials` is a mapping",
                    "write dials: {mongodb.max_pool_size: 20}",
                );
                return None;
            };
            for entry in entries {
                if let Some(value) = self.fixed(&entry.value, "a dial") {
                    settings.push((entry.key.clone(), value));
                }
            }
        }
        Some(TargetKind::Bundled { profile, replicas, dials: settings })
    }

    fn replicas(&mut self, node: &Node) -> Option<u32> {
        let text = self.fixed(node, "a number of replicas")?;
        let number = text.parse().ok().filter(|number| (1..=TARGET_REPLICAS_MAX).contains(number));
        if number.is_none() {
            self.sink.error(
                node.span,
                format!("the bundled target cannot have `{text}` replicas"),
                format!("write a whole number from 1 to {TARGET_REPLICAS_MAX}"),
            );
        }
        number
    }

    fn connections(&mut self, node: &Node) -> Option<Connections> {
        let choices = [
            ("per_user", Connections::PerUser),
            ("shared", Connections::Shared),
            ("fresh", Connections::Fresh),
        ];
        reader::word(node, "`connections`", &choices, &mut self.sink)
    }

    pub(super) fn headers(&mut self, node: &Node) -> Vec<(String, Template)> {
        let Some(entries) = node.entries() else {
            self.sink.error(
                node.span,
                format!("`headers` is a mapping, not {}", node.what()),
                "write headers: {accept: application/json}",
            );
            return Vec::new();
        };
        let mut headers = Vec::new();
        for entry in entries {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if entry.key.is_empty() || !entry.key.bytes().all(token) {
                self.sink.error(
                    entry.key_span,
                    format!("`{}` cannot name a header", entry.key),
                    "letters, digits and `-`",
                );
            }
            if ["content-length", "transfer-encoding", "connection"]
                .contains(&entry.key.to_ascii_lowercase().as_str())
            {
                self.sink.error(
                    entry.key_span,
                    format!("`{}` is written by the tool itself", entry.key),
                    "leave it out; `target.connections` says how connections are kept",
                );
            }
            let value = self.template(&entry.value, "a header", Place::Text);
            if value.literal().is_some_and(|text| text.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f)) {
                self.sink.error(entry.value.span, "a header is one line of text", "remove the line break");
            }
            headers.push((entry.key.clone(), value));
        }
        headers
    }

    pub(super) fn safety(&mut self, node: Option<&Node>) -> Safety {
        let mut safety = Safety {
            allow_hosts: Vec::new(),
            max_users: None,
            max_rate_per_s: None,
            abort_when: Vec::new(),
            generator: GeneratorLimits::default(),
        };
        let Some(fields) = node.and_then(|node| Fields::open(node, &keys::SAFETY, &mut self.sink)) else {
            return safety;
        };
        if let Some(hosts) = fields.get("allow_hosts") {
            for host in reader::list(hosts, "`allow_hosts`", &mut self.sink) {
                safety.allow_hosts.extend(self.fixed(host, "a host"));
            }
        }
        safety.max_users =
            fields.get("max_users").and_then(|node| reader::count_u32(node, "`max_users`", &mut self.sink));
        safety.max_rate_per_s =
            fields.get("max_rate").and_then(|node| reader::rate(node, "`max_rate`", &mut self.sink));
        if let Some(node) = fields.get("abort_when") {
            safety.abort_when = self.watches(node);
        }
        safety.generator = GeneratorLimits::read(fields.get("generator"), &mut self.sink);
        safety
    }

    /// Everything a scenario that cannot go on still needs, so that reading goes on.
    pub(super) fn missing(&mut self, at: Span, what: &str, help: &str) {
        self.sink.error(at, format!("`{what}` is missing"), help);
    }
}

/// `scheme://host[:port][/prefix]`.
pub(super) fn base_url(text: &str, schemes: [&str; 2]) -> Result<BaseUrl, String> {
    let refuse = |why: &str| Err(format!("`{text}` is not a base URL: {why}"));
    let Some((scheme, rest)) = text.split_once("://") else { return refuse("it has no scheme") };
    let tls = match scheme {
        s if s == schemes[0] => false,
        s if s == schemes[1] => true,
        _ => return refuse(&format!("the scheme is {} or {}", schemes[0], schemes[1])),
    };
    let (authority, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    if prefix.contains(['?', '#', ' ']) || authority.contains(['@', '?', '#', ' ']) {
        return refuse("it holds a user, a query or a blank");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let Some((host, after)) = v6.split_once(']') else { return refuse("the `[` is never closed") };
            (host, after.strip_prefix(':'))
        }
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return refuse("it has no host");
    }
    let port = match port {
        None => {
            if tls {
                443
            } else {
                80
            }
        }
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return refuse(&format!("`{port}` is not a port")),
        },
    };
    Ok(BaseUrl { tls, host: host.to_owned(), port, prefix: prefix.trim_end_matches('/').to_owned() })
}

impl Safety {
    /// May this host be addressed? Loopback always; others only when `allow_hosts` names them, `*.` standing for any subdomain.
    pub fn allows(&self, host: &str) -> bool {
        let loopback = host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback
            || self.allow_hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
                Some(domain) => {
                    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
                    host.strip_suffix(&domain).is_some_and(|sub| sub.ends_with('.'))
                }
                None => host.eq_ignore_ascii_case(pattern),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_read_with_port_prefix_and_v6() {
        let url = |text| base_url(text, ["http", "https"]);
        let plain = BaseUrl { tls: false, host: "127.0.0.1".into(), port: 8080, prefix: String::new() };
        assert_eq!(url("http://127.0.0.1:8080/"), Ok(plain));
        assert_eq!(
            url("https://a.example/v1/").map(|u| (u.tls, u.port, u.prefix)),
            Ok((true, 443, "/v1".into()))
        );
        assert_eq!(url("http://[::1]:81").map(|u| (u.host, u.port)), Ok(("::1".into(), 81)));
        for bad in [
            "127.0.0.1:8080",
            "ftp://x",
            "http://",
            "http://a:b",
            "http://u@h",
            "http://h/?q",
            "http://[::1",
            "http://h:0",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_and_named_hosts_are_allowed() {
        let safety = |hosts: &[&str]| Safety {
            allow_hosts: hosts.iter().map(ToString::to_string).collect(),
            max_users: None,
            max_rate_per_s: None,
            abort_when: Vec::new(),
            generator: GeneratorLimits::default(),
        };
        assert!(
            safety(&[]).allows("localhost") && safety(&[]).allows("127.0.0.9") && safety(&[]).allows("::1")
        );
        assert!(!safety(&[]).allows("shop.example") && !safety(&[]).allows("127.0.0.1.evil.example"));
        assert!(safety(&["*.shop.example"]).allows("a.b.Shop.example"));
        assert!(!safety(&["*.shop.example"]).allows("shop.example"));
        assert!(!safety(&["*.shop.example"]).allows("evilshop.example"));
    }
}
