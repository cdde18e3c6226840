//! What can be ordered, as the listener takes it: one JSON object.

use serde::{Deserialize, Serialize};

use super::Outage;

/// Longest fault, in milliseconds: an hour, which is the shop's recovery time objective.
const FOR_MAX_MS: u64 = 3_600_000;
/// A request that the CPU is worked for is not interrupted, and a hold that has begun not shortened: neither may last long.
const FACTOR_MAX: f64 = 100.0;

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// No request is answered for so long, but those about the app itself.
    Stall { for_ms: u64 },
    /// So many of the requests are answered 503.
    Errors { ratio: f64, for_ms: u64 },
    /// Everything that a resource does takes so many times as long.
    Slow { resource: Resource, factor: f64, for_ms: u64 },
    /// So much of the heap is taken and not given back, at most as much as there may be of it.
    Leak { bytes: u64 },
    /// The primary of a shard of the store, the first one if none is named, dies and is back after so long.
    KillPrimary {
        #[serde(default)]
        shard: u32,
        for_ms: u64,
    },
    /// All client connections are closed at once, without a word.
    DropConnections,
    /// All is well again.
    None,
}

/// What can be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Resource {
    /// The hold of a pooled connection.
    Mongodb,
    /// What a request costs the CPU.
    Cpu,
    /// What a command takes the thread of an embedded Redis node.
    Redis,
}

impl Order {
    /// # Errors
    /// What the text should have been.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let order: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        order.fit().map(|()| order)
    }

    /// Whether replicas have something to do with it.
    pub(super) fn is_for_replicas(self) -> bool {
        !matches!(self, Self::Slow { resource: Resource::Redis, .. })
    }

    /// Whether the nodes of an embedded Redis have.
    pub(super) fn is_for_redis(self) -> bool {
        matches!(self, Self::Slow { resource: Resource::Redis, .. } | Self::None)
    }

    /// What befalls the servers of the store by it, if anything does.
    pub(super) fn outage(self, at_ms: u64) -> Option<Outage> {
        match self {
            Self::KillPrimary { shard, for_ms } => Some(Outage::Death { at_ms, shard, for_ms }),
            Self::None => Some(Outage::End { at_ms }),
            _ => None,
        }
    }

    fn fit(self) -> Result<(), String> {
        let lasts = |for_ms: u64| match for_ms {
            1..=FOR_MAX_MS => Ok(()),
            _ => Err(format!("for_ms is from 1 to {FOR_MAX_MS}, not {for_ms}")),
        };
        match self {
            Self::Stall { for_ms } | Self::KillPrimary { for_ms, .. } => lasts(for_ms),
            Self::Errors { ratio, .. } if !(0.0..=1.0).contains(&ratio) => {
                Err(format!("ratio is from 0 to 1, not {ratio}"))
            }
            Self::Slow { factor, .. } if !(0.0..=FACTOR_MAX).contains(&factor) => {
                Err(format!("factor is from 0 to {FACTOR_MAX}, not {factor}"))
            }
            Self::Errors { for_ms, .. } | Self::Slow { for_ms, .. } => lasts(for_ms),
            Self::Leak { .. } | Self::DropConnections | Self::None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Resource};

    #[test]
    fn an_order_is_read_or_refused_with_what_it_should_have_been() {
        let read = |text: &str| Order::parse(text).unwrap();
        assert_eq!(read(r#"{"fault":"stall","for_ms":2000}"#), Order::Stall { for_ms: 2_000 });
        assert_eq!(read(r#"{"fault":"drop_connections"}"#), Order::DropConnections);
        assert_eq!(
            read(r#"{"fault":"slow","resource":"mongodb","factor":5,"for_ms":1}"#),
            Order::Slow { resource: Resource::Mongodb, factor: 5.0, for_ms: 1 }
        );
        let wrong = [
            "",
            r#"{"fault":"meteor"}"#,
            r#"{"fault":"stall"}"#,
            r#"{"fault":"stall","for_ms":0}"#,
            r#"{"fault":"stall","for_ms":1,"force":true}"#,
            r#"{"fault":"errors","ratio":1.5,"for_ms":1}"#,
            r#"{"fault":"slow","resource":"disk","factor":1,"for_ms":1}"#,
            r#"{"fault":"slow","resource":"cpu","factor":-1,"for_ms":1}"#,
            r#"{"fault":"leak","bytes":1e9}"#,
        ];
        insta::assert_snapshot!(wrong.map(|text| Order::parse(text).unwrap_err()).join("\n"), @r"
        EOF while parsing a value at line 1 column 0
        unknown variant `meteor`, expected one of `stall`, `errors`, `slow`, `leak`, `kill_primary`, `drop_connections`, `none` at line 1 column 17
        missing field `for_ms`
        for_ms is from 1 to 3600000, not 0
        unknown field `force`, expected `for_ms`
        ratio is from 0 to 1, not 1.5
        unknown variant `disk`, expected one of `mongodb`, `cpu`, `redis`
        factor is from 0 to 100, not -1
        invalid type: floating point `1000000000.0`, expected u64
        ");
    }
}
