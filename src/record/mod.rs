//! The run record: a folder that is valid after every second, and the only thing analysis and reports read.

pub mod rows;
pub mod summary;
