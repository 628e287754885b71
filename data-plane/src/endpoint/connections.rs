//! How many connections all workers have to an endpoint: never more than its service allows.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use tokio::{sync::Notify, time::Instant};
use weir_proto::CircuitBreakers;

use super::Endpoint;
use crate::{
    admission::{Full, Stalls},
    reason::Reason,
};

#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Idle ones too.
    open: AtomicU32,
    /// Calls the requests that want one and may have none, one for each that was closed.
    closed: Notify,
    stalls: Arc<Stalls>,
}

/// A connection's place among them, while it is open.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Endpoint>);

impl Connections {
    pub(crate) fn open(&self) -> u32 {
        self.open.load(SeqCst)
    }

    /// Whether one that idles should rather be closed: workers cannot lend each other theirs.
    pub(crate) fn are_wanted(&self) -> bool {
        self.stalls.has_line()
    }

    /// Requests that want a connection, and those that have one for a client that takes nothing.
    pub(crate) fn stalls(&self) -> &Arc<Stalls> {
        &self.stalls
    }
}

impl Connected {
    /// A place for one more connection: at once, or when another one has been closed.
    pub(crate) async fn claim(endpoint: &Arc<Endpoint>, limits: &CircuitBreakers) -> Result<Self, Reason> {
        match Self::try_claim(endpoint, limits.max_connections_per_backend) {
            Ok(connected) => Ok(connected),
            Err(Full) => Box::pin(Self::wait(endpoint, limits)).await,
        }
    }

    async fn wait(endpoint: &Arc<Endpoint>, limits: &CircuitBreakers) -> Result<Self, Reason> {
        let connections = &*endpoint.connections;
        let _wanted = connections.stalls.line_up();
        let deadline = Instant::now() + limits.queue_timeout;
        let claim = || Self::try_claim(endpoint, limits.max_connections_per_backend);
        let gate = endpoint.live.gate();
        gate.wait_at(&connections.closed, limits.max_pending_requests, deadline, claim).await
    }

    fn try_claim(endpoint: &Arc<Endpoint>, most: u32) -> Result<Self, Full> {
        let open = |open| (open < most).then_some(open + 1);
        match endpoint.connections.open.fetch_update(SeqCst, SeqCst, open) {
            Ok(_) => Ok(Self(Arc::clone(endpoint))),
            Err(_) => Err(Full),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let connections = &self.0.connections;
        connections.open.fetch_sub(1, SeqCst);
        if connections.are_wanted() {
            connections.closed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Duration;

    use super::*;
    use crate::endpoint::tests::endpoint;

    #[tokio::test(start_paused = true)]
    async fn one_too_many_waits_until_one_is_closed_or_time_is_over() {
        let limits = CircuitBreakers { max_connections_per_backend: 1, ..CircuitBreakers::default() };
        let endpoint = endpoint(([127, 0, 0, 1], 1).into());
        let first = Connected::claim(&endpoint, &limits).await.unwrap();
        let start = Instant::now();
        assert_eq!(Connected::claim(&endpoint, &limits).await.err(), Some(Reason::QueueTimeout));
        assert_eq!(start.elapsed(), limits.queue_timeout);
        assert!(!endpoint.connections().are_wanted());
        let close = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(endpoint.connections().are_wanted());
            drop(first);
        };
        let (second, ()) = tokio::join!(Connected::claim(&endpoint, &limits), close);
        assert_eq!(endpoint.connections().open(), 1);
        drop(second.unwrap());
        assert_eq!(endpoint.connections().open(), 0);
    }
}
