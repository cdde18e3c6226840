//! The bundled system under load: the backend of an eco-bottle shop whose every limit is a mechanism (a bounded pool, a
//! CPU quota, a real allocation) set by a dial of its profile. It exists so that a load test has something to find and
//! its answer can be computed beforehand: see [`explain`].

pub mod demand;
pub mod explain;
pub mod profile;
pub mod route;
mod clock;
mod pool;
mod session;
mod store;
mod cache;
mod cpu;
mod heap;
mod metrics;
mod queue;
