//! The client of the app: one connection a replica and node, on which requests are pipelined as they come, as a Node service has it. What
//! does not answer in time, or not at all, is an error that the caller can do without, and is counted.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, Opts};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Client, ErrorKind, FromRedisValue, Pipeline};

use crate::clock;
use crate::metrics::Maker;
use crate::profile;

/// How long to try for the first connection. The embedded nodes start at the same time as the replicas.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Why there is no Redis.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The reason does not repeat the address, which may have a password in it.
    #[error("--redis: address number {number} is none: {why}; for example redis://127.0.0.1:6379")]
    Address { number: usize, why: String },
    #[error("no Redis answers at {at} within {} s: {why}", CONNECT_MAX.as_secs())]
    Unreachable { at: String, why: String },
}

/// What the client counts.
#[derive(Clone, Debug)]
pub(crate) struct ClientFigures {
    commands: IntCounter,
    errors: IntCounterVec,
}

impl ClientFigures {
    pub(crate) fn made_by(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            commands: make.count("redis_client_commands_total", "Commands that the app sent to Redis.")?,
            errors: make.registered(IntCounterVec::new(
                Opts::new("redis_client_errors_total", "Requests to Redis that brought no answer of use."),
                &["reason"],
            )?)?,
        })
    }
}

/// A Redis, or a cluster of them.
#[derive(Clone)]
pub(crate) struct Redis {
    link: Arc<Link>,
    figures: ClientFigures,
}

enum Link {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

/// No answer; why is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered;

impl Redis {
    /// Connects to the server at the address, or with several addresses to the cluster that these are nodes of.
    pub(crate) async fn connect(
        addresses: &[String],
        dials: &profile::Redis,
        figures: ClientFigures,
    ) -> Result<Self, RedisError> {
        let clients = opened(addresses)?;
        let began = clock::now();
        loop {
            match Link::made(&clients, addresses, Duration::from_millis(dials.timeout_ms)).await {
                Ok(link) => return Ok(Self { link: Arc::new(link), figures }),
                Err(e) if clock::now().duration_since(began) > CONNECT_MAX => {
                    let at = clients.iter().map(|client| client.get_connection_info().addr().to_string());
                    let at = at.collect::<Vec<_>>().join(", ");
                    return Err(RedisError::Unreachable { at, why: e.to_string() });
                }
                Err(_) => tokio::time::sleep(CONNECT_PAUSE).await,
            }
        }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>, Unanswered> {
        let (text,) = self.ask(redis::pipe().cmd("GET").arg(key), 1).await?;
        Ok(text)
    }

    pub(crate) async fn set(&self, key: &str, value: &str, lasts: Duration) -> Result<(), Unanswered> {
        let ((),) =
            self.ask(redis::pipe().cmd("SET").arg(key).arg(value).arg("PX").arg(ms(lasts)), 1).await?;
        Ok(())
    }

    /// Adds one to a number that lasts so long from its first addition on; what it is then, and how much longer it lasts.
    pub(crate) async fn count(&self, key: &str, lasts: Duration) -> Result<(u64, Duration), Unanswered> {
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(key).arg(0).arg("PX").arg(ms(lasts)).arg("NX").ignore();
        pipe.cmd("INCRBY").arg(key).arg(1).cmd("PTTL").arg(key);
        let (count, left_ms): (u64, i64) = self.ask(&pipe, 3).await?;
        if left_ms < 0 {
            // Its time was over between the first command and the second, which made one that would last for ever.
            self.expire(key, lasts).await?;
            return Ok((count, lasts));
        }
        Ok((count, Duration::from_millis(left_ms.unsigned_abs())))
    }

    /// Has a key last so long from now on; false where there is none.
    pub(crate) async fn expire(&self, key: &str, lasts: Duration) -> Result<bool, Unanswered> {
        let (there,) = self.ask(redis::pipe().cmd("PEXPIRE").arg(key).arg(ms(lasts)), 1).await?;
        Ok(there)
    }

    async fn ask<T: FromRedisValue>(&self, pipe: &Pipeline, commands: u64) -> Result<T, Unanswered> {
        self.figures.commands.inc_by(commands);
        // Each is a handle of one connection.
        let answer = match &*self.link {
            Link::One(one) => pipe.query_async(&mut one.clone()).await,
            Link::Cluster(cluster) => pipe.query_async(&mut cluster.clone()).await,
        };
        answer.map_err(|error: redis::RedisError| {
            let reason = match error.kind() {
                _ if error.is_timeout() => "timeout",
                ErrorKind::Io => "connection",
                _ => "other",
            };
            self.figures.errors.with_label_values(&[reason]).inc();
            Unanswered
        })
    }
}

impl Link {
    async fn made(clients: &[Client], addresses: &[String], timeout: Duration) -> redis::RedisResult<Self> {
        if let [one] = clients {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(timeout))
                .set_response_timeout(Some(timeout))
                .set_number_of_retries(0);
            return Ok(Self::One(ConnectionManager::new_with_config(one.clone(), config).await?));
        }
        let cluster = ClusterClient::builder(addresses.iter().map(String::as_str))
            .connection_timeout(timeout)
            .response_timeout(timeout)
            // What is not answered in time is done without.
            .retries(1)
            .build()?;
        Ok(Self::Cluster(cluster.get_async_connection().await?))
    }
}

/// What `--redis` says, if these are addresses.
pub(crate) fn check(addresses: &[String]) -> Result<(), RedisError> {
    opened(addresses).map(drop)
}

fn opened(addresses: &[String]) -> Result<Vec<Client>, RedisError> {
    let numbered = (1..).zip(addresses);
    let open = |(number, address): (usize, &String)| {
        let none = |e: redis::RedisError| RedisError::Address { number, why: e.to_string() };
        Client::open(address.as_str()).map_err(none)
    };
    numbered.map(open).collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
