//! Where the load comes from and where it goes: how many processes carry it, the addresses they send from, and the addresses of one
//! service they send to.

use super::builder::Builder;
use super::document::Node;
use super::keys;
use super::plan::{Agents, Safety, Sources, Swarm};
use super::reader::{self, Fields};
use crate::limits::{AGENTS_MAX, LANE_ADDRESSES_MAX};
use std::net::{IpAddr, SocketAddr};

impl Builder<'_> {
    pub(super) fn swarm(&mut self, node: Option<&Node>) -> Swarm {
        let mut swarm = Swarm { agents: Agents::Auto, sources: Sources::Auto };
        let Some(fields) = node.and_then(|node| Fields::open(node, &keys::SWARM, &mut self.sink)) else {
            return swarm;
        };
        if let Some(node) = fields.get("agents").filter(|node| !is_auto(node))
            && let Some(count) = reader::count_u32(node, "`agents`", &mut self.sink)
        {
            if (1..=AGENTS_MAX).contains(&count) {
                swarm.agents = Agents::Fixed(count);
            } else {
                self.sink.error(
                    node.span,
                    format!("there are 1 to {AGENTS_MAX} agents on one machine"),
                    "write agents: auto, and as many are started as the load needs",
                );
            }
        }
        if let Some(node) = fields.get("source_ips").filter(|node| !is_auto(node)) {
            let list =
                self.addresses(node, "`source_ips`", "write source_ips: [10.0.0.5, 10.0.0.6], or auto");
            swarm.sources = Sources::List(list);
        }
        swarm
    }

    /// Addresses of the service that take turns in being connected to.
    pub(super) fn connect_to(&mut self, node: &Node, safety: &Safety) -> Vec<SocketAddr> {
        let help = "write connect_to: [\"127.0.0.1:8080\", \"127.0.0.1:8081\"]";
        let list: Vec<SocketAddr> = self.addresses(node, "`connect_to`", help);
        for addr in list.iter().filter(|addr| !safety.allows(&addr.ip().to_string())) {
            self.sink.error(
                node.span,
                format!("`{}` is not this machine, and `safety.allow_hosts` does not name it", addr.ip()),
                format!("add it when you may load it: safety: {{allow_hosts: [\"{}\"]}}", addr.ip()),
            );
        }
        list
    }

    fn addresses<T: std::str::FromStr + PartialEq + Family>(
        &mut self,
        node: &Node,
        what: &str,
        help: &str,
    ) -> Vec<T> {
        let items = reader::list(node, what, &mut self.sink);
        let mut list: Vec<T> = Vec::new();
        for item in items {
            let Some(text) = self.fixed(item, what) else { continue };
            match text.parse::<T>() {
                Ok(address) if list.contains(&address) => {
                    self.sink.error(item.span, format!("`{text}` is there twice"), "name each address once");
                }
                Ok(address) if list.first().is_some_and(|first| first.is_v4() != address.is_v4()) => {
                    self.sink.error(item.span, "IPv4 and IPv6 addresses do not mix in one list", help);
                }
                Ok(address) => list.push(address),
                Err(_) => self.sink.error(item.span, format!("`{text}` is no address for {what}"), help),
            }
        }
        if list.len() > LANE_ADDRESSES_MAX {
            self.sink.error(node.span, format!("more than {LANE_ADDRESSES_MAX} addresses"), help);
        } else if items.is_empty() {
            self.sink.error(node.span, format!("{what} is empty"), help);
        }
        list
    }
}

fn is_auto(node: &Node) -> bool {
    node.scalar().is_some_and(|scalar| scalar.text == "auto")
}

trait Family {
    fn is_v4(&self) -> bool;
}

impl Family for IpAddr {
    fn is_v4(&self) -> bool {
        self.is_ipv4()
    }
}

impl Family for SocketAddr {
    fn is_v4(&self) -> bool {
        self.is_ipv4()
    }
}
