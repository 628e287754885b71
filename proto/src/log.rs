//! What the logs of all programs have in common: which lines of libraries are in them, how often a line that a peer can
//! cause, and that no peer's text is more than text in it.

mod filter;
mod seldom;
mod spelled;

pub use self::{
    filter::filter,
    seldom::{Seldom, Turn},
    spelled::{Form, Spelled},
};
