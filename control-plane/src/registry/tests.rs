//! What callers of the registry may rely on.

mod apply;
mod backends;
mod durability;
mod flaps;
mod history;
mod holds;
mod leases;
mod publishing;
