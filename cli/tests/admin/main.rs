//! The program against a control plane that answers as a test says: what it asks for, what it prints, how it ends.

mod caller;
mod drain;
mod escapes;
mod export;
mod fake;
mod history;
mod outcome;
mod status;
