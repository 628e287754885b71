//! x
mod backoff;
mod receive;
