//! TLS on both sides of the real programs: certificates by name, of clients and of backends, new and bad ones.

mod backends;
mod clients;
mod listeners;
mod refused;
mod rotation;
mod scanners;
mod stage;
