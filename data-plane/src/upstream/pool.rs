//! HTTP/1 connections that wait for their next request: one pool for each worker, last in first out, without a lock.

use std::{cell::RefCell, collections::HashMap, fmt, sync::Arc};

use foldhash::fast::RandomState;
use tokio::time::{Duration, Instant};

use super::http1::Connection;
use crate::endpoint::{Endpoint, EndpointId};

/// Connections that may idle at one endpoint.
const MAX_IDLE_PER_ENDPOINT: usize = 256;

/// A connection is not used again after this time, so that load spreads anew behind addresses that are balancers
/// themselves.
pub(super) const MAX_AGE: Duration = Duration::from_hours(1);

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
    connection: Box<Connection>,
    /// When it is closed if nobody has taken it by then.
    expires: Instant,
    /// Whether the backend closes it soon after that.
    by_backend: bool,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Self {
        Self { idle: RefCell::default(), limit }
    }

    /// The connection that was used last and is still good.
    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Box<Connection>> {
        let Idle { endpoints, total } = &mut *self.idle.borrow_mut();
        let (_, waiting) = endpoints.get_mut(&endpoint.id())?;
        // What has waited too long goes with the next sweep, which is soon: no need to ask for the time, unless the
        // backend counts too.
        while let Some(Waiting { connection, expires, by_backend }) = waiting.pop() {
            *total -= 1;
            if connection.is_quiet() && !(by_backend && Instant::now() >= expires) {
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection that is ready for another request. `now` is about now.
    pub(crate) fn give(
        &self,
        endpoint: &Arc<Endpoint>,
        connection: Box<Connection>,
        idle_timeout: Duration,
        now: Instant,
    ) {
        let Idle { endpoints, total } = &mut *self.idle.borrow_mut();
        if endpoint.is_retired(false) || endpoint.connections().are_wanted() || *total >= self.limit {
            return;
        }
        let (_, waiting) =
            endpoints.entry(endpoint.id()).or_insert_with(|| (Arc::clone(endpoint), Vec::new()));
        if waiting.len() < MAX_IDLE_PER_ENDPOINT {
            let said = connection.idle_limit().filter(|limit| *limit < idle_timeout);
            let expires = (now + said.unwrap_or(idle_timeout)).min(connection.born() + MAX_AGE);
            waiting.push(Waiting { connection, expires, by_backend: said.is_some() });
            *total += 1;
        }
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        // What is dropped may ask for the pool.
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        drop(idle);
    }

    /// Closes the connections that have waited too long, have ended, or wait at retired endpoints, or at endpoints that
    /// may have no more of them while another worker wants one.
    pub(crate) fn sweep(&self) {
        let Idle { endpoints, total } = &mut *self.idle.borrow_mut();
        let now = Instant::now();
        let mut kept = 0;
        endpoints.retain(|_, (endpoint, waiting)| {
            let unwanted = endpoint.is_retired(false) || endpoint.connections().are_wanted();
            waiting.retain(|w| !unwanted && w.expires > now && w.connection.is_quiet());
            kept += waiting.len();
            !waiting.is_empty()
        });
        *total = kept;
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle.borrow().total).finish_non_exhaustive()
    }
}
