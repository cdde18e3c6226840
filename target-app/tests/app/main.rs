//! The app from outside: a server in this process on a free port (or the real binary, in `process`), spoken to over TCP.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod alerts;
mod autoscaler;
mod backup;
mod bad_input;
mod breaker;
mod edge;
mod events;
mod faults;
mod feed;
mod fleet;
mod front;
mod fronts;
mod gateway;
mod gateway_fleet;
mod graphql;
mod hardened;
mod indexes;
mod limiter;
mod metrics;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mongodb")]
mod mongodb_server;
mod openapi;
mod parts;
mod pool;
mod process;
mod prometheus;
mod queue;
mod redis;
mod replica_set;
mod routes;
mod sharding;
mod shutdown;
mod support;
mod tls;
mod tokens;
