//! The account of one request: from its head to the end of the response, of the tunnel, or of the client's patience.

use std::{rc::Rc, sync::Arc};

use http::StatusCode;
use tokio::time::{Duration, Instant};

use crate::{
    access_log::{Record, Request},
    admission::{Admitted, Permit, Share},
    downstream::Client,
    endpoint::Endpoint,
    health::Verdict,
    reason::Reason,
    table::ServiceEntry,
};

/// Counted and logged when it is dropped, so that no way out of a request forgets it.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: Rc<Client>,
    started: Instant,
    request: Option<Box<Request>>,
    service: Option<Arc<ServiceEntry>>,
    backend: Option<Arc<Endpoint>>,
    attempts: u32,
    first_attempt: Option<Instant>,
    answered: Option<Instant>,
    /// When it was complete.
    ended: Option<Instant>,
    status: u16,
    reason: Reason,
    bytes_in: u64,
    bytes_out: u64,
    qualified: Qualified,
    /// Of the service's circuit, where it has one.
    permit: Option<Permit>,
    admitted: Option<Admitted>,
    /// Of what its client may have at the service, where that is bounded.
    share: Option<Box<Share>>,
}

/// What our own answer says besides its reason.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Qualified {
    pub(crate) status: Option<StatusCode>,
    pub(crate) retry_after: Option<Duration>,
}

impl Exchange {
    /// `request` is for the access log, and only where there is one.
    pub(crate) fn begin(client: &Rc<Client>, request: Option<Box<Request>>) -> Self {
        client.local.counters().requests_started.add(1);
        Self {
            client: Rc::clone(client),
            started: Instant::now(),
            request,
            service: None,
            backend: None,
            attempts: 0,
            first_attempt: None,
            answered: None,
            ended: None,
            status: Reason::ClientGone.status().as_u16(),
            reason: Reason::ClientGone,
            bytes_in: 0,
            bytes_out: 0,
            qualified: Qualified::default(),
            permit: None,
            admitted: None,
            share: None,
        }
    }

    pub(crate) fn routed(&mut self, service: &Arc<ServiceEntry>) {
        service.counters.at(self.client.local.index()).started.add(1);
        self.service = Some(Arc::clone(service));
    }

    /// The service's routes have changed under it: another entry of a service counts it from now on.
    pub(crate) fn rerouted(&mut self, service: &Arc<ServiceEntry>) {
        self.service = Some(Arc::clone(service));
    }

    /// Where the request was routed to, if it got so far.
    pub(crate) fn service(&self) -> Option<&ServiceEntry> {
        self.service.as_deref()
    }

    /// How many attempts were begun after the first.
    pub(crate) fn retries(&self) -> u32 {
        self.attempts.saturating_sub(1)
    }

    pub(crate) fn attempt(&mut self, backend: &Arc<Endpoint>) {
        if self.request.is_some() && self.first_attempt.is_none() {
            self.first_attempt = Some(Instant::now());
        }
        self.attempts += 1;
        self.backend = Some(Arc::clone(backend));
    }

    /// A second one was begun while the first has not ended.
    pub(crate) fn hedge(&mut self, backend: &Arc<Endpoint>) {
        self.attempt(backend);
        self.retry();
    }

    /// It was another one than that of the last attempt.
    pub(crate) fn answered_by(&mut self, backend: &Arc<Endpoint>) {
        self.backend = Some(Arc::clone(backend));
    }

    /// The proxy has taken the request, to its end.
    pub(crate) fn admitted(&mut self, admitted: Admitted) {
        self.admitted = Some(admitted);
    }

    /// The request has the leave of its service's circuit.
    pub(crate) fn permitted(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// The request counts among those of its client, to its end.
    pub(crate) fn shared(&mut self, share: Option<Share>) {
        self.share = share.map(Box::new);
    }

    /// Tells the service's circuit what became of the request, if that says anything about the service.
    pub(crate) fn settle(&mut self, verdict: Option<Verdict>) {
        if let (Some(permit), Some(service)) = (self.permit.take(), &self.service) {
            service.live.settle(permit, verdict, &service.service);
        }
    }

    /// Our own answer has another status than that of its reason.
    pub(crate) fn with_status(&mut self, status: StatusCode) {
        self.qualified.status = Some(status);
    }

    /// The reason, and when it is worth to come back.
    pub(crate) fn refuse(&mut self, reason: Reason, retry_after: Duration) -> Reason {
        self.qualified.retry_after = Some(retry_after);
        reason
    }

    /// When the request's head was here.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn qualified(&self) -> Qualified {
        self.qualified
    }

    /// It failed, and another follows.
    pub(crate) fn retry(&self) {
        self.client.local.counters().retries.add(1);
    }

    /// The attempt did not count after all: its backend was retired before anything was sent.
    pub(crate) fn withdraw(&mut self) {
        self.attempts -= 1;
        self.backend = None;
    }

    /// What the client is told.
    pub(crate) fn answer(&mut self, reason: Reason, status: StatusCode) {
        self.answered = Some(Instant::now());
        (self.reason, self.status) = (reason, status.as_u16());
    }

    /// Why the response is as it is.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// When the response began.
    pub(crate) fn answered_at(&self) -> Instant {
        self.answered.unwrap_or(self.started)
    }

    /// Bytes of the request's body came.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.bytes_in = bytes;
    }

    /// Bytes of the response's body went out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The response was handed on to its end: now.
    pub(crate) fn complete(mut self) -> Instant {
        *self.ended.insert(Instant::now())
    }

    /// The response began, and was cut.
    pub(crate) fn cut_short(mut self, reason: Reason) {
        self.reason = reason;
        self.ended = Some(Instant::now());
    }

    fn outcome(&self) -> Reason {
        match self.ended {
            Some(_) => self.reason,
            None if std::thread::panicking() => Reason::Internal,
            None if self.client.local.is_cut() => Reason::Stopped,
            None => Reason::ClientGone,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (local, now) = (&self.client.local, self.ended.unwrap_or_else(Instant::now));
        let (reason, took) = (self.outcome(), now - self.started);
        let counters = local.counters();
        let outcomes = match &self.service {
            Some(service) => service.counters.at(local.index()),
            None => &counters.unrouted,
        };
        outcomes.count(reason, self.status, took);
        counters.requests_ended.add(1);
        let Some(log) = local.log() else { return };
        let backend = self.backend.as_ref().map(|endpoint| endpoint.key().id.as_str());
        log.borrow_mut().push(&Record {
            listener: &self.client.listener.name(),
            client: self.client.peer,
            request: self.request.as_deref(),
            status: self.status,
            reason: reason.code(),
            service: self.service.as_ref().map(|entry| entry.service.name.as_str()),
            backend,
            attempts: self.attempts,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            took,
            upstream: self.answered.zip(self.first_attempt).map(|(end, start)| end - start),
        });
    }
}
