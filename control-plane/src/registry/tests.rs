//! What callers of the registry may rely on.

mod apply;
mod backends;
mod durability;
mod history;
mod leases;
mod publishing;
