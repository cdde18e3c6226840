//! The dials of the database: its servers, the pools of connections to them, and how long an operation holds one.

use serde::{Deserialize, Serialize};

/// The MongoDB client: its pool, and how long an operation holds a connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mongodb {
    pub max_pool_size: usize,
    pub min_pool_size: usize,
    pub max_idle_time_ms: u64,
    pub wait_queue_timeout_ms: u64,
    /// How long an operation waits for a server that may serve it (`serverSelectionTimeoutMS`), while a primary is elected.
    pub server_selection_timeout_ms: u64,
    /// Parts that users and leads are spread over, each a replica set of its own.
    pub shards: u32,
    pub replica_set: ReplicaSet,
    /// Mean time a connection is held by one operation, store work and timer error included.
    pub service_time_ms: f64,
    pub service_time_distribution: Distribution,
    /// Standard deviation over mean, for the lognormal distribution.
    pub service_time_cv_ratio: f64,
    pub service_time_factor: ServiceTimeFactor,
    /// Whether there are the indexes of production; without them whatever looks for more than an id goes through the whole collection.
    pub indexes: Indexes,
    /// What each document gone through adds to the hold of a connection, the store's own work included.
    pub scan_us_per_document: f64,
}

/// The replica set that has the documents, or one shard of them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSet {
    /// Servers with the documents, each with a pool of its own.
    pub members: u32,
    /// Servers that vote in an election and keep nothing.
    pub arbiters: u32,
    /// From the loss of a primary to the election of the next one.
    pub election_ms: u64,
    /// How far the secondaries are behind.
    pub lag_ms: u64,
    pub write_concern: WriteConcern,
    /// How long a write waits for a majority that is not there (`wtimeoutMS`).
    pub write_timeout_ms: u64,
    pub read_preference: ReadPreference,
}

/// How many members have a write when its client is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum WriteConcern {
    /// The primary alone.
    #[serde(rename = "1")]
    One,
    #[serde(rename = "majority")]
    Majority,
}

/// Which members are read from, in the words of the drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ReadPreference {
    #[serde(rename = "primary")]
    Primary,
    #[serde(rename = "primaryPreferred")]
    PrimaryPreferred,
    #[serde(rename = "secondary")]
    Secondary,
    #[serde(rename = "secondaryPreferred")]
    SecondaryPreferred,
    /// All alike.
    #[serde(rename = "nearest")]
    Nearest,
}

/// Whether there are indexes beside those of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Indexes {
    On,
    Off,
}

/// The shape of the service time around its mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    Constant,
    Exponential,
    Lognormal,
}

/// Multiplies the mean service time for one kind of operation.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTimeFactor {
    pub products_list: f64,
    pub product_by_id: f64,
    pub products_by_ids: f64,
    pub products_search: f64,
    pub user_insert: f64,
    pub user_by_email: f64,
    pub user_by_id: f64,
    pub lead_insert: f64,
    pub leads_list: f64,
    pub order_insert: f64,
    pub order_by_id: f64,
    pub orders_by_ids: f64,
}
