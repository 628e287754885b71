//! What callers of the registry may rely on.

mod apply;
mod backends;
mod consequences;
mod default_route;
mod durability;
mod flaps;
mod history;
mod holds;
mod leases;
mod publishing;
