//! The run record: a folder that is valid after every second, and the only thing analysis and reports read.

pub mod amend;
pub mod histogram_log;
pub mod readings;
pub mod recorded;
pub mod rows;
pub mod span;
pub mod store;
pub mod summary;
pub mod what_if;
