//! Many light proxies: real clients of the discovery stream, a connection each, that keep only digests.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::UnboundedSender,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    clock::Noted,
    ledger::{Have, Ledger},
    light,
};

/// Between two looks at how far they are; when each of them was there is noted by itself.
const POLL: Duration = Duration::from_millis(1);
/// How many connect at one moment, at the beginning.
const AT_ONCE: usize = 50;

/// They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What all light proxies of a crowd share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) seats: Vec<Seat>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) counts: Counts,
    /// What to say in the next Hello.
    pub(crate) claim: Mutex<Claim>,
    /// Where the first of them tells what it gets.
    pub(crate) told: Option<UnboundedSender<Told>>,
}

/// One light proxy, seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// The revision that it acknowledged last.
    pub(crate) acked: AtomicU64,
    pub(crate) acked_at: Noted,
    /// When it acknowledged for the first time on its present stream.
    pub(crate) up_at: Noted,
}

/// How often things happened, over all of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) deltas: AtomicU64,
    /// Encoded messages of the stream that carried deltas or pages.
    pub(crate) delta_bytes: AtomicU64,
    pub(crate) snapshot_bytes: AtomicU64,
    pub(crate) pages: AtomicU64,
    /// What the first state on a stream was.
    pub(crate) resumed_by_delta: AtomicU64,
    pub(crate) resumed_by_snapshot: AtomicU64,
    /// States whose digest was not the announced one.
    pub(crate) wrong_digests: AtomicU64,
    pub(crate) put_off: AtomicU64,
    pub(crate) lost_streams: AtomicU64,
}

/// What a proxy says in its Hello of what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// As it is.
    Truth,
    /// Nothing.
    Nothing,
    /// The same of another epoch.
    OtherEpoch,
}

/// What the first proxy of a crowd got: the body of a delta.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at: Instant,
    pub(crate) body: Bytes,
}

impl Crowd {
    /// That many, none of which has anything. The first of them tells what it gets.
    pub(crate) fn new(address: SocketAddr, count: usize, told: Option<UnboundedSender<Told>>) -> Self {
        let shared = Arc::new(Shared {
            address,
            seats: (0..count).map(|_| Seat::default()).collect(),
            ledger: Mutex::default(),
            counts: Counts::default(),
            claim: Mutex::new(Claim::Truth),
            told,
        });
        Self { shared, tasks: JoinSet::new() }
    }

    /// Connects one of them, and has the others begin with what that one got: so that the whole configuration is not
    /// sent to each. Waits until all are there.
    pub(crate) async fn connect(&mut self) {
        let began = Instant::now();
        let (first, gotten) = tokio::sync::oneshot::channel();
        self.tasks.spawn(light::run(Arc::clone(&self.shared), 0, None, Some(first)));
        let have: Option<Have> = gotten.await.ok();
        for index in 1..self.shared.seats.len() {
            self.tasks.spawn(light::run(Arc::clone(&self.shared), index, have, None));
            if index % AT_ONCE == 0 {
                while self.up_since(began) < index / 2 {
                    sleep(POLL).await;
                }
            }
        }
        self.all_up_since(began, Duration::from_mins(2)).await;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.shared.seats.len()
    }

    /// How often things happened.
    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// What each says of itself when it connects again.
    pub(crate) fn claim(&self, claim: Claim) {
        *self.shared.claim.lock().expect("not poisoned") = claim;
    }

    /// How many have acknowledged something on a stream that they opened after this moment.
    pub(crate) fn up_since(&self, moment: Instant) -> usize {
        let up = |seat: &&Seat| seat.up_at.get().is_some_and(|at| at > moment);
        self.shared.seats.iter().filter(up).count()
    }

    /// Waits until all have. How long after the moment the last one had; None if that is too long.
    pub(crate) async fn all_up_since(&self, moment: Instant, most: Duration) -> Option<Duration> {
        while self.up_since(moment) < self.len() {
            if moment.elapsed() > most {
                return None;
            }
            sleep(POLL).await;
        }
        self.shared.seats.iter().filter_map(|seat| seat.up_at.get()).max().map(|last| last - moment)
    }

    /// Waits until all have acknowledged this revision or a later one. When the last one had; None if it takes longer
    /// than `most`. True only of the newest revision.
    pub(crate) async fn all_acked(&self, revision: u64, most: Duration) -> Option<Instant> {
        let deadline = Instant::now() + most;
        while self.shared.seats.iter().any(|seat| seat.acked.load(Relaxed) < revision) {
            if Instant::now() > deadline {
                return None;
            }
            sleep(POLL).await;
        }
        self.shared.seats.iter().filter_map(|seat| seat.acked_at.get()).max()
    }
}
