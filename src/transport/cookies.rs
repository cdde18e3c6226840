//! A user's cookies, as RFC 6265 has a user agent keep them. Each goes back to the host that set it, or to those below the domain it names;
//! an empty jar owns no memory.

use crate::clock::Nanos;
use crate::limits;
use crate::units::NANOS_PER_S;
use cookie::Cookie;

/// The cookies of one user.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    /// In the order they are sent: longer paths first, then older first (RFC 6265 section 5.4).
    cookies: Vec<Stored>,
}

#[derive(Clone, Debug)]
struct Stored {
    name: Box<str>,
    value: Box<str>,
    path: Box<str>,
    /// The host that set it, or the domain that it named.
    domain: Box<str>,
    host_only: bool,
    /// Never, for a cookie of the session.
    expires_ns: Option<Nanos>,
    secure: bool,
}

/// The request whose response sets a cookie, or that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Host of the request, without port.
    pub host: &'a str,
    /// Path of the request; a query may follow it.
    pub path: &'a str,
    pub tls: bool,
    pub now_ns: Nanos,
}

impl Jar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    pub fn len(&self) -> usize {
        self.cookies.len()
    }

    /// Takes one value of `set-cookie`. `now_unix_s` is the wall clock's reading at `request.now_ns`: `expires` is a date. What a
    /// browser would ignore (no name, another host's domain, over [`limits::COOKIE_BYTES_MAX`]) is ignored.
    pub fn store(&mut self, set_cookie: &str, request: Request<'_>, now_unix_s: i64) {
        let Ok(parsed) = Cookie::parse(set_cookie) else { return };
        if parsed.name().len() + parsed.value().len() > limits::COOKIE_BYTES_MAX {
            return;
        }
        // An empty one names none (RFC 6265, sections 5.2.3 and 5.3).
        let named = parsed.domain().filter(|domain| !domain.is_empty());
        let foreign = named.is_some_and(|domain| !covers(domain, request.host));
        let secure = parsed.secure().unwrap_or(false);
        if foreign || (secure && !request.tls) {
            return;
        }
        let path = match parsed.path() {
            Some(path) if path.starts_with('/') => path,
            _ => default_path(request.path),
        };
        let lasts_s = match (parsed.max_age(), parsed.expires_datetime()) {
            (Some(age), _) => Some(age.whole_seconds()),
            (None, Some(at)) => Some(at.unix_timestamp().saturating_sub(now_unix_s)),
            (None, None) => None,
        };
        let domain = named.unwrap_or(request.host);
        let same = |stored: &Stored| {
            &*stored.name == parsed.name()
                && &*stored.path == path
                && stored.domain.eq_ignore_ascii_case(domain)
        };
        let position = self.cookies.iter().position(same);
        if lasts_s.is_some_and(|lasts_s| lasts_s <= 0) {
            if let Some(position) = position {
                self.cookies.remove(position);
            }
            return;
        }
        let stored = Stored {
            name: parsed.name().into(),
            value: parsed.value().into(),
            path: path.into(),
            domain: domain.into(),
            host_only: named.is_none(),
            expires_ns: lasts_s.map(|lasts_s| {
                request.now_ns.saturating_add(lasts_s.unsigned_abs().saturating_mul(NANOS_PER_S))
            }),
            secure,
        };
        match position {
            // Overwriting keeps the place, as it keeps the creation time.
            Some(position) => self.cookies[position] = stored,
            None => self.insert(stored, request.now_ns),
        }
    }

    fn insert(&mut self, stored: Stored, now_ns: Nanos) {
        if self.cookies.len() >= limits::COOKIES_PER_USER_MAX {
            self.cookies.retain(|cookie| cookie.is_live(now_ns));
        }
        if self.cookies.len() >= limits::COOKIES_PER_USER_MAX {
            self.cookies.remove(0);
        }
        let at = self.cookies.partition_point(|cookie| cookie.path.len() >= stored.path.len());
        self.cookies.insert(at, stored);
    }

    /// Appends `cookie: a=1; b=2\r\n` to a request's head, or nothing if no cookie goes with this request.
    pub fn write_header(&self, request: Request<'_>, head: &mut Vec<u8>) {
        let path = without_query(request.path);
        let mut before: &[u8] = b"cookie: ";
        for cookie in &self.cookies {
            let sent = cookie.is_live(request.now_ns)
                && (request.tls || !cookie.secure)
                && path_matches(path, &cookie.path)
                && cookie.is_for(request.host);
            if sent {
                for part in [before, cookie.name.as_bytes(), b"=", cookie.value.as_bytes()] {
                    head.extend_from_slice(part);
                }
                before = b"; ";
            }
        }
        if before == b"; " {
            head.extend_from_slice(b"\r\n");
        }
    }

    /// Forgets everything: a new session begins.
    pub fn clear(&mut self) {
        self.cookies = Vec::new();
    }
}

impl Stored {
    fn is_live(&self, now_ns: Nanos) -> bool {
        self.expires_ns.is_none_or(|at| at > now_ns)
    }

    fn is_for(&self, host: &str) -> bool {
        self.domain.eq_ignore_ascii_case(host) || !self.host_only && covers(&self.domain, host)
    }
}

/// RFC 6265 section 5.1.3: the host itself or a name below the domain; an address only if it is the same.
fn covers(domain: &str, host: &str) -> bool {
    if domain.eq_ignore_ascii_case(host) {
        return true;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        return false;
    }
    let Some(split) = host.len().checked_sub(domain.len() + 1) else { return false };
    host.is_char_boundary(split)
        && host[split..].starts_with('.')
        && host[split + 1..].eq_ignore_ascii_case(domain)
}

/// RFC 6265 section 5.1.4: the path up to its last slash.
fn default_path(request_path: &str) -> &str {
    let path = without_query(request_path);
    match path.rfind('/') {
        Some(at) if at > 0 && path.starts_with('/') => &path[..at],
        _ => "/",
    }
}

fn path_matches(path: &str, of_cookie: &str) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX_S: i64 = 1_700_000_000;

    fn at(path: &str, now_s: u64) -> Request<'_> {
        Request { host: "shop.example", path, tls: false, now_ns: now_s * NANOS_PER_S }
    }

    fn set(jar: &mut Jar, cookie: &str, path: &str) {
        jar.store(cookie, at(path, 10), UNIX_S);
    }

    fn sent(jar: &Jar, request: Request<'_>) -> String {
        let mut head = Vec::new();
        jar.write_header(request, &mut head);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn paths_decide_what_is_sent_and_in_which_order() {
        let mut jar = Jar::new();
        set(&mut jar, "root=1; Path=/", "/a/b");
        set(&mut jar, "deep=2; Path=/a/b", "/");
        set(&mut jar, "implied=3", "/a/login?next=/x/y");
        assert_eq!(sent(&jar, at("/a/b/c?q=1", 11)), "cookie: deep=2; implied=3; root=1\r\n");
        assert_eq!(sent(&jar, at("/a", 11)), "cookie: implied=3; root=1\r\n");
        assert_eq!(sent(&jar, at("/ab", 11)), "cookie: root=1\r\n");
        assert_eq!(sent(&Jar::new(), at("/", 11)), "");
    }

    #[test]
    fn the_same_name_and_path_is_overwritten_in_place() {
        let mut jar = Jar::new();
        set(&mut jar, "a=1; Path=/", "/");
        set(&mut jar, "b=1; Path=/", "/");
        set(&mut jar, "a=2; Path=/", "/");
        set(&mut jar, "a=3; Path=/x", "/");
        assert_eq!(sent(&jar, at("/", 11)), "cookie: a=2; b=1\r\n");
        assert_eq!(jar.len(), 3);
    }

    #[test]
    fn ages_and_dates_end_a_cookie() {
        let mut jar = Jar::new();
        set(&mut jar, "age=1; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/");
        set(&mut jar, "date=2; Expires=Tue, 14 Nov 2023 22:13:30 GMT", "/");
        assert_eq!(sent(&jar, at("/", 14)), "cookie: age=1; date=2\r\n");
        assert_eq!(sent(&jar, at("/", 15)), "cookie: date=2\r\n", "1,700,000,000 s + 10 s is that date");
        assert_eq!(sent(&jar, at("/", 20)), "");
        set(&mut jar, "date=; Max-Age=0", "/");
        assert_eq!(jar.len(), 1, "deleted, and what never was is not created");
        set(&mut jar, "ghost=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/");
        assert_eq!(jar.len(), 1);
    }

    #[test]
    fn foreign_domains_are_ignored_and_own_ones_taken() {
        let mut jar = Jar::new();
        set(&mut jar, "a=1; Domain=evil.example", "/");
        set(&mut jar, "b=1; Domain=hop.example", "/");
        set(&mut jar, "c=1; Domain=.example", "/");
        set(&mut jar, "d=1; Domain=shop.example", "/");
        assert_eq!(sent(&jar, at("/", 11)), "cookie: c=1; d=1\r\n");
        assert!(!covers("0.0.1", "127.0.0.1"));
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_or_below_its_domain() {
        let mut jar = Jar::new();
        set(&mut jar, "own=1", "/");
        set(&mut jar, "wide=1; Domain=Shop.example", "/");
        let to = |host| sent(&jar, Request { host, ..at("/", 11) });
        assert_eq!(to("shop.example"), "cookie: own=1; wide=1\r\n");
        assert_eq!(to("SHOP.example"), "cookie: own=1; wide=1\r\n");
        assert_eq!(to("live.shop.example"), "cookie: wide=1\r\n");
        assert_eq!(to("example"), "");
        assert_eq!(to("workshop.example"), "");
        let other = Request { host: "live.shop.example", ..at("/", 12) };
        jar.store("own=2", other, UNIX_S);
        assert_eq!(sent(&jar, other), "cookie: wide=1; own=2\r\n", "each host has its own");
        assert_eq!(sent(&jar, at("/", 12)), "cookie: own=1; wide=1\r\n");
    }

    #[test]
    fn an_empty_domain_is_none() {
        let mut jar = Jar::new();
        set(&mut jar, "a=1; Domain=", "/");
        set(&mut jar, "b=1; Domain=.", "/");
        assert_eq!(sent(&jar, at("/", 11)), "cookie: a=1; b=1\r\n");
        assert_eq!(sent(&jar, Request { host: "live.shop.example", ..at("/", 11) }), "");
    }

    #[test]
    fn secure_cookies_need_tls() {
        let mut jar = Jar::new();
        set(&mut jar, "a=1; Secure", "/");
        assert!(jar.is_empty());
        let tls = Request { tls: true, ..at("/", 10) };
        jar.store("a=1; Secure; HttpOnly; SameSite=Lax", tls, UNIX_S);
        assert_eq!(sent(&jar, at("/", 11)), "");
        assert_eq!(sent(&jar, tls), "cookie: a=1\r\n");
    }

    #[test]
    fn nonsense_and_excess_are_bounded() {
        let mut jar = Jar::new();
        for cookie in ["", "novalue", "=x", "; Path=/"] {
            set(&mut jar, cookie, "/");
        }
        set(&mut jar, &format!("big={}", "x".repeat(limits::COOKIE_BYTES_MAX)), "/");
        assert!(jar.is_empty());
        for number in 0..limits::COOKIES_PER_USER_MAX + 5 {
            set(&mut jar, &format!("n{number}=1"), "/");
        }
        assert_eq!(jar.len(), limits::COOKIES_PER_USER_MAX);
        assert!(!sent(&jar, at("/", 11)).contains("n4="), "the oldest went");
    }

    #[test]
    fn an_empty_jar_is_three_words() {
        assert_eq!(size_of::<Jar>(), 3 * size_of::<usize>());
    }
}
