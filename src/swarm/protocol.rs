//! What the coordinator and an agent in another process say to each other. Inside one process the same commands and reports go through
//! channels; here they have an envelope, because an agent has to learn first what the run is.

use crate::engine::route::Destination;
use crate::engine::shard::{Command, Report};
use crate::scenario::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// To an agent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first; answered with [`Word::Ready`] or [`Word::Refused`].
    Begin(Box<Begin>),
    /// The second: all agents have the same zero of the run's clock.
    Start {
        zero_unix_ns: u64,
    },
    Command(Command),
}

/// Everything an agent has to know of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    /// Of the coordinator. Another version might plan the same scenario differently, and the shares would not fit together.
    pub(super) tool_version: String,
    pub(super) recipe: Recipe,
    /// Which agent this is, from 0, of how many.
    pub(super) index: u32,
    pub(super) count: u32,
    pub(super) shards: u32,
    pub(super) http: Option<Destination>,
    pub(super) ws: Option<Destination>,
}

/// From an agent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    Ready,
    /// Why it cannot take part.
    Refused(String),
    Report(Report),
}
