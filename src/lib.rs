//! Plimsoll finds the load line of a system: the most load it carries within its SLO, what gives way first, and what comes next.
//! ARCHITECTURE.md has the way of the data and the layers; `tests/tidy.rs` holds the layers to it.

pub mod analyze;
pub mod cli;
pub mod clock;
pub mod endpoint;
pub mod engine;
pub mod fit;
pub mod limits;
pub mod live;
pub mod load;
pub mod measure;
pub mod preflight;
pub mod probe;
pub mod promql;
pub mod queueing;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod search;
pub mod seed;
pub mod swarm;
pub mod threshold;
pub mod transport;
pub mod units;
