//! The contract between Weir's programs: the messages of `weir.v1`, and the types that both ends make of them.
//!
//! What arrives as a message is turned into a type that cannot be wrong (`TryFrom<v1::X>`) before anything is decided
//! by it. So the control plane and the proxies refuse the same things in the same words, as [`Invalid`]. Beside the
//! contract: what is in their [`log`]s, how text of others is shown, which [`signals`] they heed, how long they wait
//! before they connect again ([`Backoff`]), and what they say of each other's ports.

pub mod address;
mod backend;
mod backoff;
mod bounds;
mod digest;
mod duration;
mod field;
mod found;
mod id;
mod invalid;
mod listener;
pub mod log;
mod name;
mod object;
mod renamed;
mod route;
mod service;
pub mod signals;
mod tls;
mod userinfo;
mod visible;

pub use backend::{Backend, BackendKey, LeaseState, LeaseTerms, OperatorState};
pub use backoff::Backoff;
pub use digest::Digest;
pub use duration::{from_wire as duration_from_wire, read as duration_read, to_wire as duration_to_wire};
pub use found::{GRPC_PORT, found_at};
pub use id::{Epoch, LeaseId, Revision};
pub use invalid::Invalid;
pub use listener::{Limits, Listener, ListenerProtocol};
pub use name::{BackendId, ListenerName, ProxyId, RouteName, ServiceName};
pub use object::{CALLER, LEVEL, ObjectKey, ObjectKind};
pub use renamed::{renamed, warn_of_renamed};
pub use route::{HostMatch, Route, WeightedService};
pub use service::{
    AdaptiveConcurrency, CircuitBreakers, DEFAULT_LOOKUP_TABLE_MEMORY, FaultInjection, HashKey, HealthCheck,
    HedgePolicy, HttpProbe, LbPolicy, LeastRequest, Maglev, Mirror, OutlierDetection, PeakEwma, Probe,
    RateLimit, RateLimitKey, ReportedLoad, ResponseLimits, RetryOn, RetryPolicy, RingHash, Service,
    ServiceProtocol, SessionAffinity, SlowStart, Timeouts, ZoneAware, rate_limit_bytes, tables_warning,
};
pub use tls::{
    CertificateFiles, ClientCertificate, ClientCertificateMode, ListenerTls, PeerName, ServiceTls, TlsVersion,
};
pub use userinfo::without_userinfo;
pub use visible::{is_hidden, visible, visible_json};

/// The generated messages, clients and servers. `weir/v1/*.proto` is the specification.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("weir.v1");

    /// The contract as an encoded `FileDescriptorSet`, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/weir.v1.binpb"));
}
