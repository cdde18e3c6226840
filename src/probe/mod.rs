//! Probes: what the system under load says of itself ([`prometheus`] text, read by the names in [`preset`]s or in the scenario), and
//! what this process and this machine say of themselves ([`process`], [`machine`]). A probe turns two looks at counters into one reading of
//! the span between them.

pub mod machine;
pub mod preset;
pub mod process;
pub mod prometheus;
pub mod resource;
pub mod selfcheck;
