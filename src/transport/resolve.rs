//! From a host name to its addresses, once, before the run, and the rule that keeps load away from hosts nobody named.

use crate::limits;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;
use tokio::net::TcpStream;

/// Where requests to a host will go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub first: SocketAddr,
    /// Further addresses of its family, that are to take turns with it.
    pub others: Vec<SocketAddr>,
    /// Those of its family that accepted no connection, and are left out.
    pub silent: Vec<SocketAddr>,
}

#[derive(Debug, Error)]
pub enum ResolveError {
    #[error("cannot resolve `{host}`: {source}; check the name, or write the address itself")]
    Lookup { host: String, source: io::Error },
    #[error(
        "`{host}` was not resolved within {}; check the resolver (/etc/resolv.conf), or write the address itself",
        crate::units::show_duration(limits::LOOKUP_TIMEOUT)
    )]
    Slow { host: String },
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

/// The addresses that requests to `host` will go to: a name that a load balancer has given several means all of them, and a run that knew one
/// would measure that one. Of those permitted they are the ones that accept a connection, of one family; the first of all if none does. 127.0.0.1 is tried before the `::1` that `localhost` often means first: a server on it
/// has 2^24 addresses to be asked from.
///
/// # Errors
/// When the name has no address, or only such as [`is_allowed`] refuses.
pub async fn resolve(host: &str, port: u16, allow_hosts: &[String]) -> Result<Resolved, ResolveError> {
    let found = looked_up(host, tokio::net::lookup_host((bare(host), port))).await?;
    let all: Vec<SocketAddr> = found.take(limits::ADDRESSES_TRIED_MAX).collect();
    let Some(first) = all.first() else { return Err(ResolveError::NoAddress { host: host.to_owned() }) };
    let mut allowed: Vec<SocketAddr> =
        all.iter().copied().filter(|addr| is_allowed(host, addr.ip(), allow_hosts)).collect();
    allowed.sort_by_key(|addr| !(addr.is_ipv4() && addr.ip().is_loopback()));
    let mut known = HashSet::new();
    allowed.retain(|addr| known.insert(*addr));
    match allowed[..] {
        [] => Err(ResolveError::NotAllowed { host: host.to_owned(), ip: first.ip() }),
        [only] => Ok(Resolved { first: only, others: Vec::new(), silent: Vec::new() }),
        [first, ..] => Ok(accepting(first, &allowed).await),
    }
}

/// What a resolver says of `host`, within the time it has.
async fn looked_up<T>(host: &str, looking: impl Future<Output = io::Result<T>>) -> Result<T, ResolveError> {
    match tokio::time::timeout(limits::LOOKUP_TIMEOUT, looking).await {
        Ok(found) => found.map_err(|source| ResolveError::Lookup { host: host.to_owned(), source }),
        Err(_elapsed) => Err(ResolveError::Slow { host: host.to_owned() }),
    }
}

/// The first that accepts a connection, or `fallback` if none does, and the others of its family.
async fn accepting(fallback: SocketAddr, addrs: &[SocketAddr]) -> Resolved {
    let accepts = async |addr: &SocketAddr| {
        let tried = tokio::time::timeout(limits::ADDRESS_TRIAL, TcpStream::connect(*addr)).await;
        (*addr, matches!(tried, Ok(Ok(_))))
    };
    let tried = join_all(addrs.iter().map(accepts)).await;
    let first = tried.iter().find(|(_, accepts)| *accepts).map_or(fallback, |(addr, _)| *addr);
    let of_its_family =
        tried.into_iter().filter(|(addr, _)| *addr != first && addr.is_ipv4() == first.is_ipv4());
    let (others, silent): (Vec<_>, Vec<_>) = of_its_family.partition(|(_, accepts)| *accepts);
    let addresses = |list: Vec<(SocketAddr, bool)>| list.into_iter().map(|(addr, _)| addr).collect();
    Resolved { first, others: addresses(others), silent: addresses(silent) }
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

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_is_not_waited_for() {
        let refused = looked_up::<()>("shop.test", std::future::pending()).await.expect_err("no answer");
        assert_eq!(
            refused.to_string(),
            "`shop.test` was not resolved within 10s; check the resolver (/etc/resolv.conf), or write the address itself"
        );
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
    async fn of_several_addresses_all_that_answer_take_turns() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let closed = SocketAddr::from((Ipv6Addr::LOCALHOST, live.port()));
        let only = |first| Resolved { first, others: Vec::new(), silent: Vec::new() };
        let alone = only(live);
        assert_eq!(accepting(closed, &[closed, live]).await, alone);
        assert_eq!(accepting(closed, &[closed]).await, only(closed));
        assert_eq!(resolve("127.0.0.1", live.port(), &[]).await.unwrap(), alone);
        let _both = tokio::net::TcpListener::bind(closed).await;
        assert_eq!(resolve("localhost", live.port(), &[]).await.unwrap(), alone, "whichever comes first");
        let sixth = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
        assert_eq!(resolve("[::1]", 9, &[]).await.unwrap(), only(sixth));

        let second = SocketAddr::from(([127, 0, 0, 2], live.port()));
        let down = SocketAddr::from(([127, 0, 0, 3], live.port()));
        let _second = tokio::net::TcpListener::bind(second).await.unwrap();
        let all = Resolved { others: vec![second], silent: vec![down], ..only(live) };
        assert_eq!(accepting(live, &[live, closed, down, second]).await, all, "of one family");
    }
}
