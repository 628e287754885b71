//! One question to a backend: is it well? Its own connection, which ends with the answer.

mod bounded;
mod connect;
mod grpc;
mod http;
mod http1;
mod http2;
#[cfg(test)]
pub(super) mod tests;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use rustix::io::Errno;
use tokio::time::{self, Instant};
use weir_proto::{HealthCheck, Probe, ServiceProtocol};

use crate::{
    table::{Here, ServiceEntry},
    tls,
};

/// What probes call themselves.
const USER_AGENT: &str = concat!("weir-health-check/", env!("CARGO_PKG_VERSION"));

/// Bytes of the reason that people are told: some of it may be the backend's own words.
const MAX_REASON: usize = 200;

/// What the backends of a service are asked, and how.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) check: HealthCheck,
    protocol: ServiceProtocol,
    tls: Option<Arc<tls::Client>>,
    here: Arc<Here>,
}

/// What a backend answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is well.
    Passed,
    /// It is alive, and asks for less. Why, for people.
    Loaded(String),
    /// It is not well, or not there. Why, for people.
    Failed(String),
    /// It was not asked, for want of something on our side: nothing is known of the backend.
    Skipped(String),
}

/// Why a probe did not pass.
#[derive(Debug)]
enum Fault {
    Backend(String),
    Own(String),
}

impl Question {
    /// None if the service wants no probes.
    pub(super) fn of(entry: &ServiceEntry) -> Option<Self> {
        let check = entry.service.health_check.clone()?;
        Some(Self {
            check,
            protocol: entry.service.protocol,
            tls: entry.tls.clone(),
            here: Arc::clone(&entry.here),
        })
    }

    /// Whether an answer to the one is an answer to the other. A change of certificates' files is none of the question.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.check == other.check
            && self.protocol == other.protocol
            && self.tls.as_ref().map(Arc::as_ptr) == other.tls.as_ref().map(Arc::as_ptr)
    }

    /// Asks the backend at this address; takes no longer than the check allows.
    pub(super) async fn ask(&self, backend: SocketAddr) -> Outcome {
        let timeout = self.check.timeout;
        let deadline = Instant::now() + timeout;
        let connecting = time::timeout_at(deadline, Box::pin(connect::open(self, backend))).await;
        let stream = match connecting {
            Ok(Ok(stream)) => stream,
            Ok(Err(fault)) => return fault.into(),
            Err(_) => return Fault::backend(format_args!("no connection within {timeout:?}")).into(),
        };
        let asking = async {
            match &self.check.probe {
                Probe::Tcp => Ok(Outcome::Passed),
                Probe::Http(probe) => http::ask(self, probe, backend, stream).await,
                Probe::Grpc { service } => grpc::ask(self, service, backend, stream).await,
            }
        };
        match time::timeout_at(deadline, Box::pin(asking)).await {
            Ok(answer) => answer.unwrap_or_else(Into::into),
            Err(_) => Fault::backend(format_args!("no answer within {timeout:?}")).into(),
        }
    }
}

impl Fault {
    fn backend(reason: impl fmt::Display) -> Self {
        let mut reason = reason.to_string();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        Self::Backend(reason)
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Backend(reason) => Self::Failed(reason),
            Fault::Own(reason) => Self::Skipped(reason),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
            NetworkUnreachable, TimedOut, UnexpectedEof,
        };
        // That this proxy has no descriptors, ports or memory left is not the backend's fault.
        const OURS: [Errno; 5] =
            [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
        if OURS.iter().any(|ours| error.raw_os_error() == Some(ours.raw_os_error())) {
            return Self::Own(error.to_string());
        }
        match error.kind() {
            ConnectionRefused => Self::backend("connection refused"),
            ConnectionReset | ConnectionAborted | BrokenPipe => Self::backend("connection reset"),
            HostUnreachable => Self::backend("host unreachable"),
            NetworkUnreachable => Self::backend("network unreachable"),
            TimedOut => Self::backend("connection timed out"),
            UnexpectedEof => Self::backend("connection closed before the answer"),
            _ => Self::backend(error),
        }
    }
}
