//! Where requests go and where they come from, settled once before the run begins. A [`Destination`] is plain data that can be sent to an
//! agent in another process; a [`Route`] is what a shard connects with.

use crate::scenario::plan::{self, BaseUrl, Target};
use crate::transport::tls::{Identity, Rules, Tls, TlsSetupError, Trust};
use crate::transport::{Address, HttpVersion};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A base URL with the addresses it was found to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub base: BaseUrl,
    /// An address of the service, and its further ones: they are connected to in turn. Apart, since what comes over a link must not be able to
    /// have none.
    pub peer: SocketAddr,
    pub others: Vec<SocketAddr>,
    /// Addresses of this machine to connect from in turn; when empty, the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// Certificates (DER) trusted here instead of what the scenario says: of a target that made its own. Mostly none.
    pub trusted: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub address: Address,
    /// Path prefix without a trailing slash.
    pub prefix: String,
    /// The same service at further addresses.
    others: Vec<Address>,
    sources: Vec<IpAddr>,
}

impl Route {
    /// To one address, from wherever the kernel chooses. `prefix` goes before every path and has no trailing slash.
    pub fn new(address: Address, prefix: String) -> Self {
        Self { address, prefix, others: Vec::new(), sources: Vec::new() }
    }

    /// # Errors
    /// When TLS cannot be set up for the host.
    pub fn to(destination: &Destination, target: &Target) -> Result<Self, TlsSetupError> {
        let base = &destination.base;
        let tls = if base.tls {
            Some(Tls::with_rules(&base.host, &rules(&target.tls, &destination.trusted))?)
        } else {
            None
        };
        let version = match target.http_version {
            plan::HttpVersion::Auto => HttpVersion::Auto,
            plan::HttpVersion::Http1 => HttpVersion::Http1,
            plan::HttpVersion::Http2 => HttpVersion::Http2,
        };
        let address =
            |peer: SocketAddr| Address::new(&base.host, base.port, peer, tls.clone()).speaking(version);
        Ok(Self {
            address: address(destination.peer),
            others: destination.others.iter().map(|&peer| address(peer)).collect(),
            prefix: base.prefix.clone(),
            sources: destination.sources.clone(),
        })
    }

    /// The same route with TLS session stores of its own: shards share no lock, not even for resumption.
    pub(super) fn for_shard(self) -> Self {
        Self {
            address: self.address.for_shard(),
            others: self.others.iter().map(Address::for_shard).collect(),
            ..self
        }
    }

    /// The `turn`-th way to the service: every pair of an address to connect from and one to connect to takes its turn, so that the ports of
    /// all of them fill evenly.
    pub(super) fn lane(&self, turn: u64) -> (&Address, Option<IpAddr>) {
        let peers = self.others.len() as u64 + 1;
        let sources = self.sources.len().max(1) as u64;
        let pair = turn % (peers * sources);
        let peer = usize::try_from(pair % peers).unwrap_or(0);
        let source = usize::try_from(pair / peers).unwrap_or(0);
        let address = peer.checked_sub(1).map_or(&self.address, |other| &self.others[other]);
        (address, self.sources.get(source).copied())
    }
}

impl Route {
    /// One way to each address of the service.
    pub fn lanes(&self) -> impl Iterator<Item = (&Address, Option<IpAddr>)> {
        (0..self.others.len() as u64 + 1).map(|turn| self.lane(turn))
    }
}

fn rules(tls: &plan::TlsRules, trusted: &[Vec<u8>]) -> Rules {
    let trust = match (&tls.roots, tls.verify) {
        (_, false) => Trust::Any,
        _ if !trusted.is_empty() => {
            Trust::Roots(trusted.iter().map(|der| CertificateDer::from(der.clone())).collect())
        }
        (Some(roots), true) => Trust::Roots(roots.clone()),
        (None, true) => Trust::System,
    };
    let client = tls.client.as_ref().map(|client| {
        let (certificates, key) = (client.certificates.clone(), client.key.clone_key());
        Arc::new(Identity { certificates, key })
    });
    Rules {
        trust,
        client,
        tls12: tls.tls12,
        tls13: tls.tls13,
        server_name: tls.server_name.clone(),
        resumption: tls.resumption,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn route(peers: u16, sources: u8) -> Route {
        let at = |port: u16| Address::new("shop", 80, SocketAddr::from(([127, 0, 0, 1], port)), None);
        Route {
            address: at(1),
            others: (2..=peers).map(at).collect(),
            prefix: String::new(),
            sources: (1..=sources).map(|n| IpAddr::from([127, 0, 0, n])).collect(),
        }
    }

    #[test]
    fn every_pair_of_addresses_takes_its_turn() {
        for (peers, sources) in [(1, 0), (1, 3), (4, 0), (3, 5)] {
            let route = route(peers, sources);
            let pairs = u64::from(peers) * u64::from(sources.max(1));
            let mut seen: HashMap<_, u64> = HashMap::new();
            for turn in 0..pairs * 10 {
                let (address, source) = route.lane(turn);
                *seen.entry((address.addr, source)).or_default() += 1;
            }
            assert_eq!(seen.len() as u64, pairs);
            assert!(seen.values().all(|&count| count == 10));
        }
    }
}
