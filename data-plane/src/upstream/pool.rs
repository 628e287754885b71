//! Connections that wait for their next request: one pool for each worker, last in first out, without a lock.

use std::{cell::RefCell, collections::HashMap, fmt, future::poll_fn, rc::Rc, sync::Arc};

use foldhash::fast::RandomState;
use tokio::{
    task,
    time::{self, Duration, Instant},
};

use super::connect::{Backend, Parts};
use crate::endpoint::{Endpoint, EndpointId};

/// Connections that may idle at one endpoint.
const MAX_IDLE_PER_ENDPOINT: usize = 256;

/// A connection is not used again after this time, so that load spreads anew behind addresses that are balancers
/// themselves.
const MAX_AGE: Duration = Duration::from_hours(1);

/// How long after the end of a response its connection may take to be ready again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    idle: RefCell<Idle>,
    /// Connections that may idle in all.
    limit: usize,
}

#[derive(Default)]
struct Idle {
    endpoints: HashMap<EndpointId, (Arc<Endpoint>, Vec<Waiting>), RandomState>,
    total: usize,
}

struct Waiting {
    backend: Backend,
    /// When it is closed if nobody has taken it by then.
    expires: Instant,
}

/// A connection while a response comes from it. Dropped, it is closed; released, it waits for the next request.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    endpoint: Arc<Endpoint>,
    backend: Backend,
    idle_timeout: Duration,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Self {
        Self { idle: RefCell::default(), limit }
    }

    /// The connection that was used last and is still good.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Backend> {
        let Idle { endpoints, total } = &mut *self.idle.borrow_mut();
        let (_, waiting) = endpoints.get_mut(&endpoint.id())?;
        let now = Instant::now();
        while let Some(Waiting { backend, expires }) = waiting.pop() {
            *total -= 1;
            if backend.sender.is_ready() && expires > now {
                return Some(backend);
            }
        }
        None
    }

    fn give(&self, endpoint: &Arc<Endpoint>, backend: Backend, idle_timeout: Duration) {
        let Idle { endpoints, total } = &mut *self.idle.borrow_mut();
        if endpoint.is_retired() || *total >= self.limit || backend.sender.is_closed() {
            return;
        }
        let (_, waiting) =
            endpoints.entry(endpoint.id()).or_insert_with(|| (Arc::clone(endpoint), Vec::new()));
        if waiting.len() < MAX_IDLE_PER_ENDPOINT {
            let expires = (Instant::now() + idle_timeout).min(backend.born + MAX_AGE);
            waiting.push(Waiting { backend, expires });
            *total += 1;
        }
    }

    /// Closes the connections that have waited too long, have ended, or wait at retired endpoints.
    pub(crate) fn sweep(&self) {
        let Idle { endpoints, total } = &mut *self.idle.borrow_mut();
        let now = Instant::now();
        let mut kept = 0;
        endpoints.retain(|_, (endpoint, waiting)| {
            let retired = endpoint.is_retired();
            waiting.retain(|w| !retired && w.expires > now && !w.backend.sender.is_closed());
            kept += waiting.len();
            !waiting.is_empty()
        });
        *total = kept;
    }
}

impl Lease {
    pub(super) fn new(
        pool: &Rc<Pool>,
        endpoint: &Arc<Endpoint>,
        backend: Backend,
        idle_timeout: Duration,
    ) -> Self {
        Self { pool: Rc::clone(pool), endpoint: Arc::clone(endpoint), backend, idle_timeout }
    }

    /// The response has ended: the connection may serve another request.
    pub(crate) fn release(mut self) {
        if self.backend.sender.is_ready() {
            return self.pool.give(&self.endpoint, self.backend, self.idle_timeout);
        }
        if self.backend.sender.is_closed() {
            return;
        }
        // Its task has not yet seen the end of the exchange that we have seen.
        task::spawn_local(async move {
            let ready = poll_fn(|cx| self.backend.sender.poll_ready(cx));
            if let Ok(Ok(())) = time::timeout(SETTLE_TIMEOUT, ready).await {
                self.pool.give(&self.endpoint, self.backend, self.idle_timeout);
            }
        });
    }

    /// After a `101`: the stream that is no longer HTTP. None if the connection ended.
    pub(crate) async fn into_parts(self) -> Option<Parts> {
        self.backend.parts.await.ok()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle.borrow().total).finish_non_exhaustive()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("endpoint", &self.endpoint.key()).finish_non_exhaustive()
    }
}
