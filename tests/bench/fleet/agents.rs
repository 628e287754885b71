//! Agents: they register backends with leases and renew them in batches, as one would on each host, but for many hosts
//! together.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Code, Status, transport::Channel};
use weir_proto::v1::{self, registry_client::RegistryClient};

use crate::{beat, clock::Noted, plane::channel};

/// Connections that registrations share, and calls at one time on each.
const CONNECTIONS: usize = 4;
const CALLS: usize = 128;
/// How often one registration is tried, and the longest pause in between.
const ATTEMPTS: u32 = 200;
const MOST_PAUSE: Duration = Duration::from_secs(1);

/// Backends with leases. Their heartbeats end when this is dropped.
#[derive(Debug)]
pub(crate) struct Agents {
    pub(crate) shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What all agents share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) members: Vec<Member>,
    pub(crate) ttl: Duration,
    pub(crate) counts: Counts,
}

/// One backend.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) service: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) lease: AtomicU64,
    /// Whether its heartbeats are left out.
    pub(crate) silent: AtomicBool,
    /// When its last heartbeat was handed to the stream.
    pub(crate) beat_at: Noted,
}

/// How often things happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) registered: AtomicU64,
    pub(crate) registrations_put_off: AtomicU64,
    /// Heartbeats that were answered, by leases.
    pub(crate) renewed: AtomicU64,
    /// Leases that the control plane did not know, so that their backends were registered again.
    pub(crate) unknown: AtomicU64,
    pub(crate) lost_streams: AtomicU64,
}

impl Agents {
    /// `count` backends, evenly in `services` services, none of them registered yet.
    pub(crate) fn new(address: SocketAddr, services: usize, count: usize, ttl: Duration) -> Self {
        let names: Vec<Arc<str>> =
            (0..services).map(|number| format!("service-{number:04}").into()).collect();
        let backends = (0..count).map(|number| (Arc::clone(&names[number % services]), backend(number)));
        Self::of(address, backends.collect(), ttl)
    }

    /// These backends, named by their services and addresses.
    pub(crate) fn of(address: SocketAddr, backends: Vec<(Arc<str>, SocketAddr)>, ttl: Duration) -> Self {
        let member = |(service, address)| Member {
            service,
            address,
            lease: AtomicU64::default(),
            silent: AtomicBool::default(),
            beat_at: Noted::default(),
        };
        let members = backends.into_iter().map(member).collect();
        let shared = Arc::new(Shared { address, members, ttl, counts: Counts::default() });
        Self { shared, tasks: JoinSet::new() }
    }

    /// Registers all up to this one that are not registered. How long that took.
    pub(crate) async fn register(&self, until: usize) -> Duration {
        let began = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = RegistryClient::new(channel(self.shared.address));
            for _ in 0..CALLS {
                let (shared, next, mut client) =
                    (Arc::clone(&self.shared), Arc::clone(&next), client.clone());
                calls.spawn(async move {
                    while let Some(member) = shared.members[..until].get(next.fetch_add(1, Relaxed)) {
                        if member.lease.load(Relaxed) == 0 {
                            shared.register(&mut client, member).await;
                        }
                    }
                });
            }
        }
        while let Some(ended) = calls.join_next().await {
            ended.expect("no panic");
        }
        began.elapsed()
    }

    /// Begins to renew what is registered, now and later: `batch` leases on each stream, all of them once in `period`, in
    /// `parts` messages spread over it.
    pub(crate) fn beat(&mut self, batch: usize, period: Duration, parts: usize) {
        let count = self.shared.members.len();
        for first in (0..count).step_by(batch) {
            let members = first..(first + batch).min(count);
            self.tasks.spawn(beat::run(Arc::clone(&self.shared), members, period, parts));
        }
    }

    /// The backends.
    pub(crate) fn members(&self) -> &[Member] {
        &self.shared.members
    }

    /// How often things happened.
    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Member {
    /// As proxies know it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.service, self.address)
    }
}

impl Shared {
    /// Registers a backend, again and again until it is.
    pub(crate) async fn register(&self, client: &mut RegistryClient<Channel>, member: &Member) {
        for attempt in 0..ATTEMPTS {
            match client.register(self.request(member)).await {
                Ok(answer) => {
                    member.lease.store(answer.into_inner().lease_id, Relaxed);
                    member.beat_at.now();
                    self.counts.registered.fetch_add(1, Relaxed);
                    return;
                }
                Err(status) if may_repeat(&status) => {
                    self.counts.registrations_put_off.fetch_add(1, Relaxed);
                    let most = Duration::from_millis(10).saturating_mul(2_u32.saturating_pow(attempt));
                    sleep(most.min(MOST_PAUSE).mul_f64(fastrand::f64())).await;
                }
                Err(status) => panic!("{} in {}: {status}", member.address, member.service),
            }
        }
    }

    fn request(&self, member: &Member) -> v1::RegisterRequest {
        let backend = v1::Backend {
            service: member.service.to_string(),
            address: member.address.to_string(),
            ..v1::Backend::default()
        };
        let ttl = Some(weir_proto::duration_to_wire(self.ttl));
        let lease = Some(v1::LeaseTerms { ttl, ..v1::LeaseTerms::default() });
        v1::RegisterRequest { backend: Some(backend), lease, owner: "agent".to_owned() }
    }
}

/// An address that nobody is ever sent to.
pub(crate) fn backend(number: usize) -> SocketAddr {
    let [_, high, middle, low] = u32::try_from(number).expect("a small number").to_be_bytes();
    SocketAddr::from(([10, high, middle, low], 8_080))
}

fn may_repeat(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::Cancelled | Code::Unknown)
}
