//! Load as arithmetic: curves, arrival instants, users and shares. Nothing here sleeps; a schedule is a function.

pub mod arrivals;
pub mod curve;
pub mod mix;
pub mod share;
