//! What was asked about a changed system, what is predicted of it, and what a second search found: `what_if` of `summary.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The question as the record keeps it: the prediction is computed from the record whenever it is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// As they were written: `mongodb.pool=100`.
    pub changes: Vec<String>,
    /// What a search of the changed system found; `null` where none was made.
    #[serde(default)]
    pub observed: Option<Observed>,
}

/// The load line of the changed system, as a second search found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub typical: f64,
    /// [last good level, first bad level].
    pub interval: [Option<f64>; 2],
    /// The folder of its record.
    pub run: String,
    pub bottleneck: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    pub changes: Vec<Changed>,
    /// Where the load line would be.
    pub load_line: Predicted,
    /// Predicted over measured load line.
    pub gain: f64,
    /// The resource that limits the changed system; `null` where the model has none.
    pub limited_by: Option<String>,
    /// `interpolated`, `extrapolated` or `confirmed`.
    pub evidence: String,
    /// How full the limiting resource would be over the fullest that it was measured, or the predicted load over the highest level: the larger one.
    pub factor: f64,
    /// Measured load line over that of the model before the change: what the prediction was multiplied by.
    pub calibration: f64,
    /// What follows once that one is widened too, soonest first.
    pub next: Vec<NextAt>,
    /// Plain sentences a reader can act on.
    pub explanation: String,
    pub confirmed: Option<Confirmed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// `mongodb.pool`, or `mongodb.pool.demand` for what a request takes of it.
    pub resource: String,
    /// In its own unit: connections, cores, bytes; a demand in seconds (bytes a user for memory).
    pub from: f64,
    pub to: f64,
}

impl Changed {
    /// Only how many times as much is known: a record does not tell how many replicas there were, nor what a demand was made of.
    pub fn is_relative(&self) -> bool {
        self.resource.ends_with(".demand") || self.resource == "replicas"
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Predicted {
    /// `users` or `rate`.
    pub of: String,
    pub typical: f64,
    pub interval: [f64; 2],
    /// Probability with which the interval is meant to hold the load line that a search would find.
    pub confidence: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NextAt {
    pub resource: String,
    /// Load at which it would limit the changed system, in the unit of the load line.
    pub at: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmed {
    pub typical: f64,
    /// [last good level, first bad level]; an end that was never met is `null`.
    pub interval: [Option<f64>; 2],
    pub observed_over_predicted: f64,
    /// The folder of the second search.
    pub run: String,
    /// What gave way in it.
    pub bottleneck: Option<String>,
}
