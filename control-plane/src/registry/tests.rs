//! What callers of the registry may rely on.

mod apply;
mod backends;
mod durability;
mod history;
mod flaps;
mod holds;
mod leases;
mod publishing;
