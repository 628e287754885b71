//! What the logs of all programs have in common: which lines of libraries are in them, and how often a line that a
//! peer can cause.

mod filter;
mod seldom;

pub use self::{
    filter::filter,
    seldom::{Seldom, Turn},
};
