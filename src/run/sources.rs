//! The addresses of this machine that connections come from. One address has some 28,000 ports towards one peer; beyond that, loopback has
//! sixteen million addresses to take, and elsewhere the scenario names those the machine owns.

use crate::scenario::plan::Sources;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("swarm.source_ips: this machine cannot send from {ip}: {source}; `ip addr` lists what it can")]
    NotOurs { ip: IpAddr, source: std::io::Error },
    #[error("swarm.source_ips: {ip} cannot reach {peer}: one is IPv4 and the other IPv6")]
    OtherFamily { ip: IpAddr, peer: SocketAddr },
}

/// Addresses to connect from in turn towards `peers`; empty where the kernel's choice will do. `wanted` is how many the load needs.
///
/// # Errors
/// When an address that the scenario names is not of this machine, or not of the peers' family.
pub(super) fn choose(
    sources: &Sources,
    peers: &[SocketAddr],
    wanted: u32,
) -> Result<Vec<IpAddr>, SourceError> {
    match sources {
        Sources::List(list) => {
            for &ip in list {
                if let Some(&peer) = peers.iter().find(|peer| peer.is_ipv4() != ip.is_ipv4()) {
                    return Err(SourceError::OtherFamily { ip, peer });
                }
                UdpSocket::bind((ip, 0)).map_err(|source| SourceError::NotOurs { ip, source })?;
            }
            Ok(list.clone())
        }
        Sources::Auto if wanted > 1 && peers.iter().all(|peer| peer.is_ipv4() && peer.ip().is_loopback()) => {
            Ok((0..wanted).map(loopback).collect())
        }
        Sources::Auto => Ok(Vec::new()),
    }
}

/// The `n`-th loopback address from 127.0.0.2 on; 127.0.0.1 is left to everything else on the machine.
fn loopback(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 2)) + n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Vec<SocketAddr> {
        vec![text.parse().expect("an address")]
    }

    #[test]
    fn loopback_has_as_many_addresses_as_the_load_needs() {
        let auto = Sources::Auto;
        assert!(choose(&auto, &at("127.0.0.1:80"), 1).expect("none").is_empty());
        assert!(
            choose(&auto, &at("192.0.2.1:80"), 9).expect("none").is_empty(),
            "only loopback is free to take"
        );
        assert!(choose(&auto, &at("[::1]:80"), 9).expect("none").is_empty(), "IPv6 has one loopback address");
        let many = choose(&auto, &at("127.0.0.1:80"), 600).expect("six hundred");
        assert_eq!((many.len(), many[0], many[599]), (600, [127, 0, 0, 2].into(), [127, 0, 2, 89].into()));
        assert!(many.iter().all(|ip| UdpSocket::bind((*ip, 0)).is_ok()), "each can be sent from");
    }

    #[test]
    fn an_address_of_another_machine_or_family_is_refused_by_name() {
        let list = |text: &str| Sources::List(vec![text.parse().expect("an address")]);
        let refused =
            |text: &str, peer: &str| choose(&list(text), &at(peer), 1).expect_err("refused").to_string();
        assert!(refused("192.0.2.7", "127.0.0.1:80").contains("cannot send from 192.0.2.7"));
        assert!(refused("::1", "127.0.0.1:80").contains("one is IPv4"));
        assert_eq!(choose(&list("127.0.0.9"), &at("127.0.0.1:80"), 1).expect("ours").len(), 1);
    }
}
