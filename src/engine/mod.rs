//! The engine: shards (one thread and one current-thread runtime each) whose virtual users are local tasks. Nothing on the path of
//! a request is shared between shards, sent through a channel, logged or allocated beyond what a body needs.

mod beats;
mod census;
mod closed;
mod control;
#[cfg(test)]
mod density;
mod events;
mod heard;
mod line;
mod open;
#[cfg(test)]
mod outage;
mod pacer;
mod part;
mod program;
mod reading;
mod render;
mod reopen;
mod repeats;
mod resent;
pub mod route;
mod session;
pub mod shard;
mod sharing;
mod socket;
mod step;
mod tap;
mod timer;
pub mod trace;
mod user;
#[cfg(test)]
mod virtual_run;
mod window;

pub use tap::{Content, Event, TRACE_SCHEMA, Told, Trace};
