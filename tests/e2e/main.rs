//! End-to-end tests: real sockets, where it matters real processes. One file for each behaviour.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod all_methods;
mod authority;
mod backend_gone;
mod bad_input;
mod bad_request_isolated;
mod byte_for_byte;
mod conformance;
mod control_plane_killed;
mod daemons;
mod dev;
mod drain;
mod epoch;
mod explain;
mod grpc;
mod house;
mod http2;
mod kill_loop;
mod leaks;
mod lease_expiry;
mod log_gone;
mod none_registered;
mod ports;
mod proxy_restart;
mod python;
mod rapid_changes;
mod restart;
mod rotation;
mod routes;
mod tls;
mod upgrade;

/// Whether the long forms are wanted: `WEIR_SOAK`, as `tests/bench/run soak` sets it.
fn soak() -> bool {
    std::env::var_os("WEIR_SOAK").is_some()
}
