//! The bundled system under load: the backend of an eco-bottle shop whose every limit is a mechanism (a bounded pool, a
//! CPU quota, a real allocation) set by a dial of its profile. It exists so that a load test has something to find and
//! its answer can be computed beforehand: see [`explain`].

mod app;
mod audit;
mod breaker;
mod cache;
pub mod cli;
mod clock;
mod conversation;
mod cpu;
pub mod demand;
mod descriptors;
mod event_loop;
pub mod explain;
mod faults;
mod feed;
pub mod fleet;
pub mod gateway;
mod graphql;
mod guard;
pub mod heap;
mod limiter;
mod lingering;
mod lock;
mod metrics;
mod openapi;
mod pool;
mod priority;
pub mod profile;
mod protections;
mod queue;
mod redis;
pub mod route;
mod routes;
mod server;
mod session;
mod socket;
mod store;
mod timer;
mod tls;

pub use guard::{NotAnOrigin, Origin};
pub use protections::{Idle, Protections};
pub use server::{ServeError, Serving, serve};
pub use store::{Backend, BackendError, Contents, Files, FilesError, MONGODB_URI, Uri, back_up};
