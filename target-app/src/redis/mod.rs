//! Redis: where the replicas of the shop keep together what one of them alone could not: the second tier of the cache, and the points of
//! the rate limiter. The client ([`Redis`]) is the same whether a real server answers, a cluster of them, or the embedded nodes
//! ([`node`]), which are processes of the fleet.

mod client;
pub(crate) mod node;
mod slots;

pub(crate) use self::client::{ClientFigures, Redis, RedisError, Unanswered, check};
pub(crate) use self::slots::node_of;
