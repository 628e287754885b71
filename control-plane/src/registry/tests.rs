//! What callers of the registry may rely on.

mod apply;
mod backends;
mod durability;
mod leases;
mod publishing;
