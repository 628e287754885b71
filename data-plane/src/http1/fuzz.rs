//! Whatever bytes come: nothing panics, and what is let through is what the reference and other parsers let through.
//!
//! `BOLERO_RANDOM_TEST_TIME_MS` says for how long each of them tries. What is kept in `__fuzz__` is tried first.

mod bodies;
mod peers;
mod recipe;
mod requests;
mod responses;
