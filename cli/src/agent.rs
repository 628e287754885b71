//! The agent beside a backend: registers it, keeps its lease alive whatever happens to the control plane, and takes it
//! out in good order. `weir run` is one with a child process; `weir dev` has one for each sample backend.

mod child;
mod heartbeat;
mod leash;
mod passing;
mod port;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use weir_proto::{
    Backoff, duration_read, duration_to_wire,
    v1::{self, deregister_request::Target, registry_client::RegistryClient},
};

use crate::{Error, client};

pub(crate) use child::Child;
pub(crate) use heartbeat::{End, renew};
pub(crate) use leash::become_command;
pub(crate) use port::accepts;

/// How long one call may take; a drain comes on top.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// No wait between two tries is longer, but for what the control plane asks for beside it.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// The agent waits no longer than this before it tries again, whatever it is told.
const MOST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Keeps one leased backend registered.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Control planes, tried in turn; never none.
    planes: Vec<Plane>,
    /// Attempts that have failed.
    turn: AtomicUsize,
    request: v1::RegisterRequest,
    ttl: Duration,
}

/// A control plane, and where it is.
#[derive(Debug)]
struct Plane {
    url: String,
    registry: RegistryClient<client::Named>,
}

/// What the agent is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Keep the backend registered.
    Stay,
    /// Remove it: at once, or after it finished what it has, for at most so long.
    Leave {
        /// Absent: at once.
        drain: Option<Duration>,
    },
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// No registration was tried yet.
    Starting,
    /// The lease lives.
    Registered {
        /// The revision that holds the registration.
        revision: u64,
    },
    /// Not registered, or not known to be; tried again before long.
    Away {
        /// Why.
        reason: String,
    },
    /// An operator took the backend out: it is not registered again, however long the agent lives.
    Withdrawn,
}

impl Agent {
    /// An agent for a backend that is valid. Nothing is connected yet.
    pub(crate) fn new(
        urls: &[String],
        backend: v1::Backend,
        ttl: Duration,
        owner: String,
    ) -> Result<Self, Error> {
        let channel = |url: &String| {
            let channel = client::endpoint(url)?.connect_timeout(CALL_TIMEOUT).connect_lazy();
            Ok(Plane::over(channel, url))
        };
        let planes = urls.iter().map(channel).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self::of(planes, backend, ttl, owner))
    }

    fn of(planes: Vec<Plane>, backend: v1::Backend, ttl: Duration, owner: String) -> Self {
        let lease = v1::LeaseTerms { ttl: Some(duration_to_wire(ttl)), deregister_after: None };
        Self {
            planes,
            turn: AtomicUsize::new(0),
            request: v1::RegisterRequest { backend: Some(backend), lease: Some(lease), owner },
            ttl,
        }
    }

    /// Keeps the backend registered until told to leave, then removes it. The answer is absent if the backend was
    /// never registered, or was taken out by an operator; its error says why the removal failed: the lease then expires by itself.
    pub(crate) async fn attend(
        &self,
        mut wishes: watch::Receiver<Wish>,
        state: &watch::Sender<State>,
    ) -> Option<Result<v1::DeregisterResponse, String>> {
        let mut backoff = self.backoff();
        let mut lease = None;
        while *wishes.borrow_and_update() == Wish::Stay {
            let mut told = Duration::ZERO;
            // Never given up halfway: a registration that succeeds unseen would stay behind.
            let reason = match self.register().await {
                Ok(answer) => {
                    lease = Some(answer.lease_id);
                    tell(state, State::Registered { revision: answer.revision });
                    let interval = heartbeat_interval(&answer, self.ttl);
                    let Plane { url, registry } = self.plane();
                    let begun = Instant::now();
                    let end = tokio::select! {
                        end = renew(registry, url, answer.lease_id, interval) => end,
                        () = leaving(&mut wishes) => break,
                    };
                    backoff.lasted(begun.elapsed());
                    match end {
                        End::Lost(reason) => reason,
                        End::Unknown => "the control plane does not know the lease any more".to_owned(),
                        End::Withdrawn => {
                            tell(state, State::Withdrawn);
                            leaving(&mut wishes).await;
                            return None;
                        }
                    }
                }
                Err(status) => {
                    told = retry_after(&status);
                    client::sentence(&self.plane().url, &status).await
                }
            };
            tell(state, State::Away { reason });
            self.turn.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep(told + backoff.next_wait()) => {}
                () = leaving(&mut wishes) => {}
            }
        }
        match lease {
            Some(lease) => Some(self.leave(lease, wishes).await),
            None => None,
        }
    }

    async fn register(&self) -> Result<v1::RegisterResponse, Status> {
        let mut registry = self.plane().registry.clone();
        match timeout(CALL_TIMEOUT, registry.register(self.request.clone())).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer to the registration")),
        }
    }

    /// Removes the backend; its lease is kept alive while it drains. A control plane that goes away or is not there is
    /// asked again until the time for the drain is up: a drain goes on where it was.
    async fn leave(
        &self,
        lease: u64,
        mut wishes: watch::Receiver<Wish>,
    ) -> Result<v1::DeregisterResponse, String> {
        let begin = Instant::now();
        let mut backoff = self.backoff();
        loop {
            let time = match *wishes.borrow_and_update() {
                Wish::Leave { drain } => drain,
                Wish::Stay => None,
            };
            // What is left of it. Then the backend goes at once: it is about to end anyway.
            let drain =
                time.and_then(|time| time.checked_sub(begin.elapsed())).filter(|left| !left.is_zero());
            tokio::select! {
                answer = self.deregister(lease, drain) => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(status) if drain.is_none() => {
                        return Err(client::sentence(&self.plane().url, &status).await);
                    }
                    Err(_) => tokio::select! {
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                        () = changed(&mut wishes) => {}
                    },
                },
                () = changed(&mut wishes) => {}
                never = self.keep_alive(lease) => match never {},
            }
        }
    }

    async fn deregister(
        &self,
        lease: u64,
        drain: Option<Duration>,
    ) -> Result<v1::DeregisterResponse, Status> {
        let request = v1::DeregisterRequest {
            target: Some(Target::LeaseId(lease)),
            drain: drain.map(duration_to_wire),
        };
        let mut registry = self.plane().registry.clone();
        match timeout(CALL_TIMEOUT + drain.unwrap_or_default(), registry.deregister(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer to the deregistration")),
        }
    }

    async fn keep_alive(&self, lease: u64) -> Infallible {
        let mut backoff = self.backoff();
        loop {
            let (Plane { url, registry }, begun) = (self.plane(), Instant::now());
            let end = renew(registry, url, lease, self.ttl / 3).await;
            if matches!(end, End::Withdrawn) {
                return pending().await;
            }
            backoff.lasted(begun.elapsed());
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

impl Agent {
    /// The control plane whose turn it is.
    fn plane(&self) -> &Plane {
        &self.planes[self.turn.load(Ordering::Relaxed) % self.planes.len()]
    }

    /// The waits stay below a third of the ttl: after a restart of the control plane a lease has one ttl to be renewed in.
    fn backoff(&self) -> Backoff {
        Backoff::new(MOST_WAIT.min(self.ttl / 3))
    }
}

impl Plane {
    fn over(channel: Channel, url: &str) -> Self {
        let registry = RegistryClient::with_interceptor(channel, client::Caller::this_process());
        Self { url: url.to_owned(), registry }
    }
}

fn heartbeat_interval(answer: &v1::RegisterResponse, ttl: Duration) -> Duration {
    let said = answer.heartbeat_interval.and_then(duration_read);
    said.filter(|interval| !interval.is_zero()).unwrap_or(ttl / 3)
}

/// How long the control plane wants to be left alone, if it says so.
fn retry_after(status: &Status) -> Duration {
    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
    told.unwrap_or_default().min(MOST_RETRY_AFTER)
}

/// Says how things stand, unless that was the last word already.
fn tell(state: &watch::Sender<State>, now: State) {
    state.send_if_modified(|last| {
        let new = *last != now;
        *last = now;
        new
    });
}

/// Waits for another wish. Who dropped the sender has none any more.
async fn changed(wishes: &mut watch::Receiver<Wish>) {
    if wishes.changed().await.is_err() {
        pending::<()>().await;
    }
}

async fn leaving(wishes: &mut watch::Receiver<Wish>) {
    if wishes.wait_for(|wish| *wish != Wish::Stay).await.is_err() {
        pending::<()>().await;
    }
}
