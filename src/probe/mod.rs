//! Probes: what the system under load says of itself ([`prometheus`] text, read by the names in [`preset`]s or in the scenario; or a Prometheus
//! [`server`] that has read it), and what this process and this machine say of themselves ([`process`], [`machine`]). A probe turns two looks at counters into one reading of
//! the span between them.

mod exposition;
pub mod history;
pub mod machine;
pub mod preset;
pub mod process;
pub mod prometheus;
pub mod resource;
pub mod selfcheck;
pub mod server;
