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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::task::LocalSet;
    use weir_proto::ProxyId;

    use super::*;
    use crate::{
        descriptors::Room,
        endpoint::tests::endpoint,
        headers::Pseudonym,
        listener,
        upstream::connect::connect,
        worker::{Local, Shared},
    };

    const LONG: Duration = Duration::from_hours(2);

    /// A pool of this limit, an endpoint that accepts, and so many new connections to it.
    async fn fixture(limit: usize, connections: usize) -> (Rc<Local>, Arc<Endpoint>, Vec<Backend>) {
        let local = Rc::new(Local::new(Shared {
            index: 0,
            table: Arc::default(),
            counters: Arc::default(),
            log: None,
            pseudonym: Pseudonym::of(&ProxyId::try_from("proxy-1").unwrap()),
            room: Arc::new(Room::within(usize::MAX)),
            idle_limit: limit,
        }));
        let socket = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap().remove(0);
        let endpoint = endpoint(socket.local_addr().unwrap());
        let socket = tokio::net::TcpListener::from_std(socket).unwrap();
        task::spawn_local(async move {
            let mut accepted = Vec::new();
            while let Ok((stream, _)) = socket.accept().await {
                accepted.push(stream);
            }
        });
        let mut backends = Vec::new();
        for _ in 0..connections {
            let mut backend = connect(&local, &endpoint, LONG).await.unwrap();
            poll_fn(|cx| backend.sender.poll_ready(cx)).await.unwrap();
            backends.push(backend);
        }
        time::pause();
        (local, endpoint, backends)
    }

    fn idle(local: &Local) -> usize {
        local.pool().idle.borrow().total
    }

    #[tokio::test]
    async fn a_connection_is_used_until_it_is_old_or_has_idled_too_long() {
        let test = async {
            let (local, endpoint, mut backends) = fixture(10, 2).await;
            let pool = local.pool();
            pool.give(&endpoint, backends.remove(0), LONG);
            time::advance(MAX_AGE.checked_sub(Duration::from_secs(1)).unwrap()).await;
            let old = pool.take(&endpoint).expect("it is not old yet");
            pool.give(&endpoint, old, LONG);
            time::advance(Duration::from_secs(2)).await;
            assert!(pool.take(&endpoint).is_none(), "it is too old");
            let mut young = backends.remove(0);
            young.born = Instant::now();
            pool.give(&endpoint, young, Duration::from_secs(5));
            time::advance(Duration::from_secs(6)).await;
            assert_eq!(idle(&local), 1);
            pool.sweep();
            assert_eq!(idle(&local), 0, "it has idled too long");
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn no_more_idle_than_the_limits_allow() {
        let test = async {
            let (local, endpoint, backends) = fixture(2, 3).await;
            for backend in backends {
                local.pool().give(&endpoint, backend, LONG);
            }
            assert_eq!(idle(&local), 2);
            let taken = local.pool().take(&endpoint).unwrap();
            assert_eq!(idle(&local), 1);
            local.pool().give(&endpoint, taken, LONG);
            local.pool().sweep();
            assert_eq!(idle(&local), 2, "what was taken makes room");
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn one_endpoint_does_not_take_all_the_room() {
        let test = async {
            let (local, endpoint, backends) = fixture(usize::MAX, MAX_IDLE_PER_ENDPOINT + 1).await;
            for backend in backends {
                local.pool().give(&endpoint, backend, LONG);
            }
            assert_eq!(idle(&local), MAX_IDLE_PER_ENDPOINT);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn nothing_idles_at_a_retired_endpoint() {
        let test = async {
            let (local, endpoint, mut backends) = fixture(10, 2).await;
            local.pool().give(&endpoint, backends.remove(0), LONG);
            endpoint.set_retired(true);
            local.pool().give(&endpoint, backends.remove(0), LONG);
            assert_eq!(idle(&local), 1);
            local.pool().sweep();
            assert_eq!(idle(&local), 0);
        };
        LocalSet::new().run_until(test).await;
    }
}
