//! The scenario language: text → document with spans → every problem at once → [`plan::Plan`].

pub mod extract;
pub mod plan;
pub mod template;
