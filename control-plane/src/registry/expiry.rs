//! The lease loop: asks at every tick who is due and who of those may expire, and has the registry deal with them.
//!
//! Who is to expire has not yet: the registry looks at each again when its turn comes, because a heartbeat may have
//! arrived in between (`backends::lapse`). What did not expire is taken out of the guard's account again.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use weir_proto::{BackendKey, LeaseId};

use super::{
    Registry,
    command::Command,
    holds::{Holds, tell_preservation},
    lanes::Lanes,
    staying::Staying,
};
use crate::{
    error::Error,
    events::Events,
    lease::{Case, Due, Guard, Lapse, Leases, Rules, Silent, TICK, Verdict},
    metrics::Metrics,
    snapshot::Snapshot,
};

/// Looks at what the proxies find.
pub(crate) type Witness = Box<dyn Fn() -> Testimony + Send + Sync>;
/// Whether a backend is dead to all of them.
pub(crate) type Testimony = Box<dyn Fn(&BackendKey) -> bool + Send>;

/// A loop that wakes later than this did not run when it should have, and heartbeats were not heard either. Together
/// with the tick and a commit this stays below the second by which an expiry may be late.
const LATE: Duration = Duration::from_millis(400);

/// What the loop shares with the handles.
#[derive(Default)]
pub(super) struct Standing {
    /// None: nobody is known to be dead.
    pub(super) witness: OnceLock<Witness>,
    /// Self-preservation is on.
    pub(super) preserving: AtomicBool,
}

/// The loop's own.
struct Keeper {
    leases: Arc<Leases>,
    lanes: Lanes,
    current: Arc<ArcSwap<Snapshot>>,
    events: Arc<Events>,
    metrics: Metrics,
    standing: Arc<Standing>,
    guard: Guard,
    holds: Holds,
    in_hand: Option<InHand>,
}

/// What the registry was given last.
struct InHand {
    answer: oneshot::Receiver<Result<(), Error>>,
    expiries: Vec<(LeaseId, BackendKey)>,
}

/// Runs until it is stopped.
pub(super) async fn run(registry: Registry, rules: Rules, stop: CancellationToken) {
    let mut keeper = Keeper {
        leases: registry.leases,
        lanes: registry.lanes,
        current: registry.current,
        events: registry.events,
        metrics: registry.metrics,
        standing: registry.standing,
        guard: Guard::new(rules),
        holds: Holds::default(),
        in_hand: None,
    };
    let mut wake = Instant::now() + TICK;
    while stop.run_until_cancelled(sleep_until(wake)).await.is_some() {
        let now = Instant::now();
        if now > wake + LATE {
            tracing::warn!(late = ?(now - wake), "the lease loop woke late; every lease is extended by that");
            keeper.leases.extend(wake, now);
            keeper.guard.shift(now - wake);
        }
        wake = now + TICK;
        // The loop never waits for the registry: a wait would look like a stopped process.
        if keeper.is_free() {
            keeper.tick(now);
        }
    }
}

impl Keeper {
    /// Whether the registry is done with what it was given last.
    fn is_free(&mut self) -> bool {
        let Some(mut in_hand) = self.in_hand.take() else { return true };
        if matches!(in_hand.answer.try_recv(), Err(TryRecvError::Empty)) {
            self.in_hand = Some(in_hand);
            return false;
        }
        self.settle(&in_hand.expiries);
        true
    }

    fn tick(&mut self, now: Instant) {
        let due = self.leases.due(now);
        let snapshot = self.current.load_full();
        let (live, late) = (self.leases.live(), self.leases.late());
        if let Some(begins) = self.guard.observe(now, live, late, self.leases.longest_ttl()) {
            self.standing.preserving.store(begins, Relaxed);
            tell_preservation(begins, &self.leases, &self.events, snapshot.revision());
        }
        if !due.is_empty() {
            self.hand_over(due, &snapshot, now);
        }
        self.holds.tell(&self.leases, &self.events, snapshot.revision());
    }

    /// Gives the registry what is due and may go.
    fn hand_over(&mut self, due: Due, snapshot: &Snapshot, now: Instant) {
        let mut lapses: Vec<_> = due.removals.into_iter().map(Lapse::Remove).collect();
        let mut staying = Staying::new(snapshot);
        let mut expiries = Vec::new();
        let mut witness = None;
        for silent in due.silent {
            let confirmed = || self.standing.confirms(&mut witness, &silent.backend);
            let last = || staying.is_last(&silent.backend);
            match self.guard.decide(now, case(&silent), confirmed, last) {
                Verdict::Expire(cause) => {
                    lapses.push(Lapse::Expire(silent.id, cause));
                    expiries.push((silent.id, silent.backend.clone()));
                    staying.goes(silent.backend);
                }
                Verdict::Hold(why) => {
                    if self.leases.hold(silent.id, why, now) {
                        self.metrics.held_leases.get_or_create_owned(&[("reason", why.label())]).inc();
                    }
                    self.holds.held(&silent.backend.service, why);
                }
            }
        }
        if lapses.is_empty() {
            return;
        }
        let (reply, answer) = oneshot::channel();
        match self.lanes.at_once(Command::Lapse(lapses, now, reply)) {
            Ok(()) => self.in_hand = Some(InHand { answer, expiries }),
            Err(refused) => {
                self.give_back(*refused, now);
                self.settle(&expiries);
            }
        }
    }

    fn give_back(&self, command: Command, now: Instant) {
        if let Command::Lapse(due, ..) = command {
            for lapse in due {
                self.leases.postpone(lapse, now);
            }
        }
    }

    /// Takes those out of the account that did not expire after all: a heartbeat came, or it could not be stored.
    fn settle(&mut self, expiries: &[(LeaseId, BackendKey)]) {
        for (id, backend) in expiries {
            if self.leases.is_live(*id) {
                self.guard.withdraw(backend);
            }
        }
    }
}

impl Standing {
    /// Whether every proxy finds the backend dead. The witness looks when it is first asked.
    fn confirms(&self, witness: &mut Option<Testimony>, key: &BackendKey) -> bool {
        let Some(look) = self.witness.get() else { return false };
        witness.get_or_insert_with(look)(key)
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").field("preserving", &self.preserving).finish_non_exhaustive()
    }
}

fn case(silent: &Silent) -> Case<'_> {
    let Silent { backend, ttl, due, is_overdue, live, .. } = silent;
    Case { backend, ttl: *ttl, due: *due, is_overdue: *is_overdue, live: *live }
}
