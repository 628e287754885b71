//! End-to-end tests: real sockets, where it matters real processes. One file for each behaviour.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod affinity;
mod agent;
mod all_down;
mod all_methods;
mod authority;
mod backend_gone;
mod bad_input;
mod bad_request_isolated;
mod bulkhead;
mod byte_for_byte;
mod circuit;
mod cli_backup;
mod cli_drain;
mod cli_history;
mod cli_wait;
mod client_leaves;
mod clock_jump;
mod comes_back;
mod concurrency;
mod conformance;
mod control_plane_killed;
mod credentials;
mod daemons;
mod deadline;
mod dev;
mod disk_faults;
mod dns;
mod drain;
mod epoch;
mod explain;
mod fault_injection;
mod flapping;
mod grpc;
mod grpc_abuse;
mod health_checks;
mod histories;
mod house;
mod http2;
mod kill_loop;
mod kill_mixed;
mod leaks;
mod lease_expiry;
mod log_floods;
mod log_gone;
mod long_absence;
mod lost_replies;
mod mass_silence;
mod mirror;
mod misbehaving;
mod none_registered;
mod offline;
mod overload;
mod partition;
mod policy_change;
mod ports;
mod priorities;
mod proxy_restart;
mod python;
mod rapid_changes;
mod rate_limits;
mod reasons;
mod restart;
mod rotation;
mod routes;
mod stalls;
mod stopped_proxy;
mod sudden_death;
mod tls;
mod upgrade;

/// Whether the long forms are wanted: `WEIR_SOAK`, as `tests/bench/run soak` sets it.
fn soak() -> bool {
    std::env::var_os("WEIR_SOAK").is_some()
}
