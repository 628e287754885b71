//! The lease loop: asks at every tick who is due and has the registry deal with them.
//!
//! Who is due is not yet who expires: the registry looks at each again when its turn comes, because a heartbeat may
//! have arrived in between (`backends::lapse`).

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{command::Command, lanes::Lanes};
use crate::{
    error::Error,
    lease::{Leases, TICK},
};

type Answer = oneshot::Receiver<Result<(), Error>>;

/// A loop that wakes later than this did not run when it should have, and heartbeats were not heard either. Together
/// with the tick and a commit this stays below the second by which an expiry may be late.
const LATE: Duration = Duration::from_millis(400);

/// How many leases are dealt with at one tick.
const AT_ONCE: usize = 100_000;

/// Runs until it is stopped.
pub(super) async fn run(leases: Arc<Leases>, lanes: Lanes, stop: CancellationToken) {
    let mut wake = Instant::now() + TICK;
    let mut in_hand: Option<Answer> = None;
    while stop.run_until_cancelled(sleep_until(wake)).await.is_some() {
        let now = Instant::now();
        if now > wake + LATE {
            tracing::warn!(late = ?(now - wake), "the lease loop woke late; every lease is extended by that");
            leases.extend(wake, now);
        }
        wake = now + TICK;
        // The loop never waits for the registry: a wait would look like a stopped process.
        if !in_hand.as_mut().is_some_and(|answer| matches!(answer.try_recv(), Err(TryRecvError::Empty))) {
            in_hand = hand_over(&leases, &lanes, now);
        }
    }
}

/// Gives the registry what is due; the receiver hears when that is done.
fn hand_over(leases: &Leases, lanes: &Lanes, now: Instant) -> Option<Answer> {
    let due = leases.due(now, AT_ONCE);
    if due.is_empty() {
        return None;
    }
    let (reply, answer) = oneshot::channel();
    match lanes.at_once(Command::Lapse(due, now, reply)) {
        Ok(()) => Some(answer),
        Err(refused) => {
            give_back(leases, refused, now);
            None
        }
    }
}

fn give_back(leases: &Leases, command: Command, now: Instant) {
    if let Command::Lapse(due, ..) = command {
        for lapse in due {
            leases.postpone(lapse, now);
        }
    }
}
