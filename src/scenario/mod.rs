//! The scenario language: text → document with spans → every problem at once → [`plan::Plan`].

mod check;
mod condition;
pub mod document;
pub mod extract;
pub mod plan;
pub mod problem;
mod suggest;
pub mod template;
