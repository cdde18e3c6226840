//! From a host name to one address, once, before the run, and the rule that keeps load away from hosts nobody named.

use crate::limits;
use std::io;
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;
use tokio::net::TcpStream;

#[derive(Debug, Error)]
pub enum ResolveError {
    #[error("cannot resolve `{host}`: {source}; check the name, or write the address itself")]
    Lookup { host: String, source: io::Error },
    #[error("`{host}` has no address")]
    NoAddress { host: String },
    #[error(
        "`{host}` ({ip}) is not this machine and safety.allow_hosts does not name it: add `{host}` there if you may load it"
    )]
    NotAllowed { host: String, ip: IpAddr },
}

/// Whether load may go to `ip`, that `host` resolved to: this machine always, anything else only if a pattern of
/// `safety.allow_hosts` names the host as the scenario wrote it. A pattern is a host name, an address, or `*.` and a domain, which
/// stands for every name below that domain but not for the domain itself.
pub fn is_allowed(host: &str, ip: IpAddr, allow_hosts: &[String]) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified() || allow_hosts.iter().any(|pattern| names(pattern, host))
}

fn names(pattern: &str, host: &str) -> bool {
    let pattern = bare(pattern);
    let host = bare(host);
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            // The byte before the domain must be its dot, or `*.b.c` would name `evilb.c`.
            let Some(split) = host.len().checked_sub(domain.len() + 1) else { return false };
            split > 0
                && host.is_char_boundary(split)
                && host[split..].starts_with('.')
                && host[split + 1..].eq_ignore_ascii_case(domain)
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Without the brackets of an IPv6 address or the dot that ends a rooted name.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches([']', '.'])
}

/// The address that requests to `host` will go to. Of several permitted ones it is the first that accepts a connection, or the first of all if
/// none does. 127.0.0.1 is tried before the `::1` that `localhost` often means first: a server on it has 2^24 addresses to be asked from.
///
/// # Errors
/// When the name has no address, or only such as [`is_allowed`] refuses.
pub async fn resolve(host: &str, port: u16, allow_hosts: &[String]) -> Result<SocketAddr, ResolveError> {
    let found = tokio::net::lookup_host((bare(host), port))
        .await
        .map_err(|source| ResolveError::Lookup { host: host.to_owned(), source })?;
    let all: Vec<SocketAddr> = found.take(limits::ADDRESSES_TRIED_MAX).collect();
    let Some(first) = all.first() else { return Err(ResolveError::NoAddress { host: host.to_owned() }) };
    let mut allowed: Vec<SocketAddr> =
        all.iter().copied().filter(|addr| is_allowed(host, addr.ip(), allow_hosts)).collect();
    allowed.sort_by_key(|addr| !(addr.is_ipv4() && addr.ip().is_loopback()));
    match allowed[..] {
        [] => Err(ResolveError::NotAllowed { host: host.to_owned(), ip: first.ip() }),
        [only] => Ok(only),
        [first, ..] => Ok(first_accepting(&allowed).await.unwrap_or(first)),
    }
}

async fn first_accepting(addrs: &[SocketAddr]) -> Option<SocketAddr> {
    for addr in addrs {
        let trial = tokio::time::timeout(limits::ADDRESS_TRIAL, TcpStream::connect(addr)).await;
        if matches!(trial, Ok(Ok(_))) {
            return Some(*addr);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn allowed(host: &str, patterns: &[&str]) -> bool {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        is_allowed(host, ELSEWHERE, &patterns)
    }

    #[test]
    fn this_machine_needs_no_permission() {
        for ip in [
            IpAddr::V4(Ipv4Addr::new(127, 9, 8, 7)),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ] {
            assert!(is_allowed("anything", ip, &[]), "{ip}");
        }
        assert!(!is_allowed("localhost", ELSEWHERE, &[]), "the address counts, not the name");
    }

    #[test]
    fn patterns_name_whole_labels() {
        assert!(allowed("shop.example", &["shop.example"]));
        assert!(allowed("Shop.Example.", &["shop.example"]));
        assert!(allowed("a.b.staging.example", &["*.staging.example"]));
        assert!(allowed("192.0.2.1", &["192.0.2.1"]));
        assert!(!allowed("staging.example", &["*.staging.example"]));
        assert!(!allowed("evilstaging.example", &["*.staging.example"]));
        assert!(!allowed(".staging.example", &["*.staging.example"]));
        assert!(!allowed("shop.example.evil", &["shop.example"]));
        assert!(!allowed("shop.example", &["*"]));
        assert!(!allowed("shop.example", &[]));
    }

    #[tokio::test]
    async fn refusals_say_what_to_add() {
        let error = resolve("192.0.2.1", 80, &[]).await.unwrap_err();
        insta::assert_snapshot!(error, @"`192.0.2.1` (192.0.2.1) is not this machine and safety.allow_hosts does not name it: add `192.0.2.1` there if you may load it");
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_told_with_what_to_do() {
        let error = resolve("no-such-host.invalid", 80, &[]).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot resolve `no-such-host.invalid`: "), "{error}");
        assert!(error.ends_with("; check the name, or write the address itself"), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_answers_is_preferred() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let closed = SocketAddr::from((Ipv6Addr::LOCALHOST, live.port()));
        assert_eq!(first_accepting(&[closed, live]).await, Some(live));
        assert_eq!(resolve("127.0.0.1", live.port(), &[]).await.unwrap(), live);
        let _both = tokio::net::TcpListener::bind(closed).await;
        assert_eq!(resolve("localhost", live.port(), &[]).await.unwrap(), live, "whichever comes first");
        assert_eq!(resolve("[::1]", 9, &[]).await.unwrap(), SocketAddr::from((Ipv6Addr::LOCALHOST, 9)));
    }
}
