//! The handlers, one file a resource, and the forms of what they take and give.

pub(crate) mod events;
pub(crate) mod graphql;
pub(crate) mod health;
mod input;
pub(crate) mod jobs;
pub(crate) mod leads;
pub(crate) mod orders;
pub(crate) mod products;
mod reply;
pub(crate) mod statics;
pub(crate) mod users;

pub(crate) use reply::{PROBLEM_JSON, Problem};
