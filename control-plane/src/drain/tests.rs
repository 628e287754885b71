//! Drains with the clock stopped.
