//! What holds for every algorithm, and for groups of endpoints.

mod every;
mod groups;
mod hashing;
