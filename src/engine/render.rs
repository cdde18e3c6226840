//! Requests ready to be written. One whose every part is literal is rendered once per shard and then only copied from; any other
//! is rendered into a buffer that the shard lends out and takes back.

use super::program::Site;
use super::session::View;
use crate::clock::Nanos;
use crate::scenario::plan::{Method, Request};
use crate::scenario::template::{RenderError, Template};
use crate::transport::cookies::{self, Jar};
use std::io::Write as _;

pub(super) struct Prepared {
    pub(super) request: Request,
    /// `GET /prefix` — everything of the request line before the step's own path.
    line: Box<[u8]>,
    /// `host:` and the literal part of the headers, each with its CRLF.
    fixed_headers: Box<[u8]>,
    /// Headers with variables, the target's own first.
    headers: Vec<(String, Template)>,
    host: Host,
    tls: bool,
    /// The whole request when nothing in it varies (a user with cookies still renders).
    literal: Option<Box<[u8]>>,
}

/// Which host the cookies of a request are of.
enum Host {
    /// That of the base URL.
    Target,
    /// What its `host:` header says.
    Named(Box<str>),
    /// What its `host:` header says once it is rendered.
    Varying,
}

impl Prepared {
    pub(super) fn new(request: &Request, site: &Site<'_>) -> Self {
        let own = |name: &str| request.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        let inherited = site.plan.target.headers.iter().filter(|(name, _)| !own(name));
        let all: Vec<&(String, Template)> = inherited.chain(&request.headers).collect();
        let given = |name: &str| all.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));

        let named_host = all.iter().find(|(key, _)| key.eq_ignore_ascii_case("host"));
        let host = named_host.map_or(Host::Target, |(_, value)| {
            value.literal().map_or(Host::Varying, |host| Host::Named(without_port(host).into()))
        });

        let mut fixed_headers = Vec::new();
        if !given("host") {
            header(&mut fixed_headers, "host", site.host_header.as_bytes());
        }
        if !given("user-agent") {
            header(
                &mut fixed_headers,
                "user-agent",
                concat!("plimsoll/", env!("CARGO_PKG_VERSION")).as_bytes(),
            );
        }
        let mut headers = Vec::new();
        for (name, value) in all {
            match value.literal() {
                Some(text) => header(&mut fixed_headers, name, text.as_bytes()),
                None => headers.push((name.clone(), value.clone())),
            }
        }
        let mut prepared = Self {
            line: format!("{} {}", method_name(request.method), site.prefix).into_bytes().into(),
            fixed_headers: fixed_headers.into(),
            headers,
            host,
            request: request.clone(),
            tls: site.tls,
            literal: None,
        };
        prepared.literal = prepared.render_literal();
        prepared
    }

    /// The finished bytes, where they never vary.
    pub(super) fn literal(&self) -> Option<&[u8]> {
        self.literal.as_deref()
    }

    /// Host that the cookies of this request are of; `target` is that of the base URL, and `rendered` has at least the headers.
    pub(super) fn host<'a>(&'a self, target: &'a str, rendered: &'a [u8]) -> &'a str {
        match &self.host {
            Host::Target => target,
            Host::Named(host) => host,
            Host::Varying => host_of(rendered),
        }
    }

    /// Renders the request with the cookies of `jar` (the target's host, an instant) into `out`, which is cleared first.
    ///
    /// # Errors
    /// [`RenderError`] naming the variable that has no value.
    pub(super) fn render(
        &self,
        view: &mut View<'_>,
        jar: Option<(&Jar, &str, Nanos)>,
        body: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        out.clear();
        body.clear();
        out.extend_from_slice(&self.line);
        self.request.path.render(view, out)?;
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(&self.fixed_headers);
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            value.render(view, out)?;
            out.extend_from_slice(b"\r\n");
        }
        if let Some((jar, target, now_ns)) = jar.filter(|(jar, ..)| !jar.is_empty()) {
            // Until the body is rendered its place holds the cookies: the head cannot be read and written at once.
            let (host, path) = (self.host(target, out), path_of(out));
            jar.write_header(cookies::Request { host, path, tls: self.tls, now_ns }, body);
            out.extend_from_slice(body);
            body.clear();
        }
        if let Some(template) = &self.request.body {
            template.render(view, body)?;
        }
        finish(out, self.request.method, self.request.body.is_some(), body);
        Ok(())
    }

    fn render_literal(&self) -> Option<Box<[u8]>> {
        if !self.headers.is_empty() {
            return None;
        }
        let path = self.request.path.literal()?;
        let body = match &self.request.body {
            Some(template) => template.literal()?,
            None => "",
        };
        let mut out = Vec::new();
        out.extend_from_slice(&self.line);
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(&self.fixed_headers);
        finish(&mut out, self.request.method, self.request.body.is_some(), body.as_bytes());
        Some(out.into())
    }
}

/// The path in a rendered request, or in the beginning of one: what stands between the first two blanks.
pub(super) fn path_of(rendered: &[u8]) -> &str {
    let path = rendered.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(path).unwrap_or("/")
}

/// The host in a rendered head, or in the beginning of one.
fn host_of(rendered: &[u8]) -> &str {
    let fields =
        rendered.split(|&byte| byte == b'\n').skip(1).take_while(|line| !line.trim_ascii().is_empty());
    let mut fields = fields.filter_map(|line| line.split_at_checked(b"host:".len()));
    let host = fields.find(|(name, _)| name.eq_ignore_ascii_case(b"host:"));
    let text = host.and_then(|(_, value)| std::str::from_utf8(value.trim_ascii()).ok());
    without_port(text.unwrap_or_default())
}

/// The host of a `host:` field, as cookies know it.
pub(super) fn without_port(header: &str) -> &str {
    header.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(header, |(host, _)| host)
}

fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Content-length, the empty line and the body. A method that usually carries a body says `0` when it has none (RFC 9110, 8.6).
fn finish(out: &mut Vec<u8>, method: Method, has_body: bool, body: &[u8]) {
    if has_body || matches!(method, Method::Post | Method::Put | Method::Patch) {
        out.extend_from_slice(b"content-length: ");
        write!(out, "{}", body.len()).expect("writing into a Vec cannot fail");
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

pub(super) fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Head => "HEAD",
    }
}
