//! Fits: from measured points to the coefficients of a law, with the uncertainty that the points leave. Pure mathematics on numbers; who
//! reads them from where is the caller's affair.

pub mod classes;
pub mod curve;
pub mod demand;
mod errors;
pub mod evidence;
pub mod held;
pub mod line;
mod matrix;
pub mod nnls;
pub mod parabola;
pub mod student;
pub mod table;
pub mod usl;
