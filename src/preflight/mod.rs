//! Before the first packet: what a plan needs ([`needs()`]), what this machine has ([`crate::probe::machine`]), and whether the one fits
//! into the other ([`fit()`]): which limit bites first, at how many users, and what lifts it.

pub mod costs;
mod cpu;
pub mod examine;
pub mod explain;
pub mod fit;
mod lift;
pub mod needs;
mod spread;
mod verdict;

pub use crate::probe::machine::Machine;
pub use examine::{Examination, examine};
pub use explain::{Explanation, explain};
pub use fit::{Fit, fit};
pub use needs::{Needs, needs};
pub use spread::Spread;
pub use verdict::{Preflight, preflight};
