//! The attempts of one request, until one of them has an answer or there is no point in another.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::time::{Duration, Instant};
use weir_proto::FaultInjection;

use super::{
    admit::{self, Admission, Denied, Wanted},
    attempt, budget, fault, gather,
    hedge::{self, Hedge},
    mirror,
    place::{Cookies, Place},
    prepare::{self, Prepared},
    target,
};
use crate::{
    alarm::Alarm,
    body::{RequestBody, ResponseBody},
    deadline,
    downstream::{Client, Interim},
    endpoint::{Endpoint, EndpointId, InFlight},
    exchange::Exchange,
    grpc::Call,
    headers::{Host, Upgrade},
    health::Verdict,
    message::RequestHead,
    reason::Reason,
    retry::{self, Ended, Progress, Repeatable},
    table::ServiceEntry,
    upstream::{self, Answer, Attempt, Clock, Failure, Unsent},
    worker::{InForce, Local},
};

/// A backend's answer, and what it is to the request.
pub(super) struct Outcome<'a> {
    pub(super) answer: Answer<'a>,
    pub(super) in_flight: InFlight,
    pub(super) service: Arc<ServiceEntry>,
    pub(super) upgrade: Upgrade,
    /// Whether the backend has done well if the body comes to its end.
    pub(super) good_so_far: bool,
    /// What the client is given to come back to where it was.
    pub(super) cookies: Option<Cookies>,
}

/// Leaves in `rest` what was not sent of the body, if that is known.
pub(super) async fn relay<'a>(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    head: &mut RequestHead,
    rest: &mut Option<RequestBody<'a>>,
    interim: &mut Interim<'_>,
    alarm: &mut Alarm,
    call: Option<Call>,
) -> Result<Outcome<'a>, Reason> {
    let Prepared { table, service, upgrade } = prepare::prepare(client, exchange, head, rest.as_ref())?;
    let local = &client.local;
    let mut copy = None;
    if service.has_extras {
        copy = extras(local, &table, &service, exchange, head, rest, upgrade).await?;
    }
    let timeouts = &service.service.timeouts;
    let timeout = call.and_then(|call| call.timeout).unwrap_or(timeouts.request);
    let mut clock = Clock::new(timeout, timeouts.per_try, alarm);
    let policy = &service.service.retry_policy;
    let idempotent = retry::is_idempotent(&head.method) || policy.retry_non_idempotent;
    let place = Place::of(&service, head, client);
    let past = Past::default();
    let mut course = Course { client, call, idempotent, timeout, table, service, place, past };

    let mut request = Unsent::Body(rest.take().ok_or(Reason::Internal)?);
    loop {
        let mut in_flight = match course.admit(&mut request).await? {
            Ok(in_flight) => in_flight,
            Err(Denied::Refused(reason)) => {
                *rest = Some(request.into_body());
                return Err(reason);
            }
            Err(Denied::Outdated(newest)) => {
                course.reroute(newest, exchange, head)?;
                continue;
            }
        };
        exchange.attempt(in_flight.endpoint());
        let Course { service, .. } = &course;
        let again = exchange.retries() > 0;
        let new_head = deadline::set(head, call, &service.service.timeouts, &clock, again);
        let endpoint = Arc::clone(in_flight.endpoint());
        let attempt = Attempt {
            local,
            service,
            endpoint: &endpoint,
            head,
            upgrade,
            pinned: course.is_pinned(&endpoint),
            keeps: idempotent,
            new_head,
        };
        let began = service.wants_latency().then(Instant::now);
        let left = clock.left();
        let result = match course.hedge(copy.as_ref(), again) {
            None => upstream::send(attempt, request, &mut clock, interim).await,
            Some(hedge) => {
                // Whoever answers has a copy.
                let mut aside = request.body().set_aside(hedge.body);
                let sent = upstream::send(attempt, request, &mut clock, interim);
                let hedged = hedge::send(local, service, head, hedge, in_flight, sent, left, exchange);
                let mut result;
                (result, in_flight) = Box::pin(aside.while_client_stays(hedged)).await?;
                if let Some(body) = hedge::body(&mut result) {
                    body.put_back(aside);
                }
                result
            }
        };
        if let Some(began) = began.filter(|_| in_flight.endpoint().id() == endpoint.id()) {
            attempt::time(service, &endpoint, &result, began);
        }
        let (unsent, pause) = match result {
            Ok(answer) => match course.judge(&answer, &mut in_flight, exchange, &clock) {
                Judged::Final(verdict) => {
                    let cookies = course.cookies(&in_flight);
                    let good_so_far = verdict == Verdict::GoodSoFar;
                    let service = course.service;
                    return Ok(Outcome { answer, in_flight, service, upgrade, good_so_far, cookies });
                }
                Judged::Again(pause) => {
                    (discard(local, service, &in_flight, answer).ok_or(Reason::Internal)?, pause)
                }
            },
            Err(Failure::Retired(unsent)) => {
                exchange.withdraw();
                request = unsent;
                continue;
            }
            Err(Failure::Failed { reason, progress, request: unsent }) => {
                let whole = unsent.is_some();
                let pause = course.judge_failure(reason, progress, whole, &mut in_flight, exchange, &clock);
                match (unsent, pause) {
                    (Some(unsent), Some(pause)) => (unsent, pause),
                    (unsent, _) => {
                        *rest = unsent.map(Unsent::into_body);
                        return Err(course.past.met.unwrap_or(reason));
                    }
                }
            }
        };
        course.past.tried.push(in_flight.endpoint().id());
        drop(in_flight);
        request = unsent;
        wait(request.body(), pause).await?;
        exchange.retry();
        clock.try_again();
    }
}

/// A request between its attempts.
struct Course<'r> {
    client: &'r Client,
    call: Option<Call>,
    /// Sent twice it means the same as sent once.
    idempotent: bool,
    /// For the response's head, over all attempts.
    timeout: Duration,
    /// One table from here to the end, unless all that it offers is retired before anything was sent.
    table: Rc<InForce>,
    service: Arc<ServiceEntry>,
    place: Place,
    past: Past,
}

/// What a request has been through.
#[derive(Default)]
struct Past {
    /// Whether it comes from the queue of a service that is no longer what it was.
    waited: bool,
    tried: Vec<EndpointId>,
    /// What attempts without an answer met, so far.
    met: Option<Reason>,
}

/// What becomes of a request that was answered.
enum Judged {
    /// The answer is the client's; what it says about the backend.
    Final(Verdict),
    /// Another attempt follows, after this time.
    Again(Duration),
}

impl Course<'_> {
    /// An endpoint with room: at once, or after a while in the service's queue, unless the client goes.
    async fn admit(&self, request: &mut Unsent<'_>) -> Result<Result<InFlight, Denied>, Reason> {
        let (local, wanted) = (&self.client.local, self.wanted());
        match admit::now(local, &self.table, &self.service, wanted) {
            Admission::Made(in_flight) => Ok(Ok(in_flight)),
            Admission::Denied(denied) => Ok(Err(denied)),
            Admission::Full => {
                let admitted = admit::soon(local, &self.table, &self.service, wanted);
                Box::pin(request.body().while_client_stays(admitted)).await
            }
        }
    }

    /// All that the table offered was retired before anything was sent: the newest one decides.
    fn reroute(
        &mut self,
        newest: Rc<InForce>,
        exchange: &mut Exchange,
        head: &RequestHead,
    ) -> Result<(), Reason> {
        let found = target::of(&newest, &Host::of(head)?.name, head.path());
        self.service = Arc::clone(found.service?);
        exchange.rerouted(&self.service);
        self.place = Place::of(&self.service, head, self.client);
        self.table = newest;
        self.past.waited = true;
        Ok(())
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            tried: &self.past.tried,
            may_decide: self.idempotent,
            key: self.place.key(),
            waited: self.past.waited,
            turn: self.client.standing.turn(),
            pinned: self.place.pinned(&self.service),
        }
    }

    fn is_pinned(&self, endpoint: &Endpoint) -> bool {
        self.place.pinned(&self.service).is_some_and(|pinned| pinned.id() == endpoint.id())
    }

    /// How the first attempt is hedged, if it is.
    fn hedge<'h>(&'h self, copy: Option<&'h Bytes>, again: bool) -> Option<Hedge<'h>> {
        let policy = self.service.service.hedge_policy.filter(|_| self.idempotent && !again)?;
        let (wanted, call, timeout) = (self.wanted(), self.call, self.timeout);
        Some(Hedge { wanted, body: copy?, delay: policy.delay, call, timeout })
    }

    /// What an answer means: for the backend, for the service, and for the request.
    fn judge(
        &self,
        answer: &Answer<'_>,
        in_flight: &mut InFlight,
        exchange: &mut Exchange,
        clock: &Clock<'_>,
    ) -> Judged {
        let verdict = attempt::learn_from_answer(&self.service, in_flight, answer, self.call.is_some());
        if self.service.looks_at_answers {
            let ended = Ended::Answered { head: &answer.head, call: self.call.is_some() };
            let pause = self.pause(ended, answer.upload.is_whole(), exchange, clock);
            if let Some(pause) = pause {
                return Judged::Again(pause);
            }
        }
        exchange.settle(Some(verdict));
        Judged::Final(verdict)
    }

    /// The same of an attempt without an answer. None if nothing more comes of the request.
    fn judge_failure(
        &mut self,
        reason: Reason,
        progress: Progress,
        whole: bool,
        in_flight: &mut InFlight,
        exchange: &mut Exchange,
        clock: &Clock<'_>,
    ) -> Option<Duration> {
        let verdict = attempt::verdict_of_failure(&self.service, reason, self.timeout);
        attempt::learn_from_failure(&self.service, in_flight, verdict);
        self.past.met = Some(reason.after(self.past.met));
        let pause = self.pause(Ended::Failed(progress), whole, exchange, clock);
        if pause.is_none() {
            exchange.settle(verdict);
        }
        pause
    }

    /// How long to wait before another attempt. None if there is none: it is not worth it, or there is no time for it, or
    /// the budget is spent.
    fn pause(
        &self,
        ended: Ended<'_>,
        whole: bool,
        exchange: &Exchange,
        clock: &Clock<'_>,
    ) -> Option<Duration> {
        let (policy, retries) = (&self.service.service.retry_policy, exchange.retries());
        let request = Repeatable { idempotent: self.idempotent, whole };
        if !retry::allowed(policy, retries, ended, request) {
            return None;
        }
        let pause = match ended {
            _ if retry::is_immediate(retries, ended) => Duration::ZERO,
            Ended::Failed(_) => retry::pause(policy, retries, None, clock.left())?,
            Ended::Answered { head, .. } => {
                retry::pause(policy, retries, retry::retry_after(&head.fields), clock.left())?
            }
        };
        budget::withdraw(&self.service).then_some(pause)
    }

    fn cookies(&self, in_flight: &InFlight) -> Option<Cookies> {
        self.place.cookies(&self.service, in_flight.endpoint(), self.client.secure)
    }
}

/// What few services ask for: trouble on purpose, and what needs a copy of the body, which is returned.
async fn extras(
    local: &Rc<Local>,
    table: &InForce,
    service: &ServiceEntry,
    exchange: &mut Exchange,
    head: &RequestHead,
    rest: &mut Option<RequestBody<'_>>,
    upgrade: Upgrade,
) -> Result<Option<Bytes>, Reason> {
    if let (Some(faults), Some(body)) = (&service.service.fault_injection, &mut *rest) {
        inject(faults, exchange, body).await?;
    }
    let policy = &service.service;
    if upgrade == Upgrade::Keep || policy.mirror.is_none() && policy.hedge_policy.is_none() {
        return Ok(None);
    }
    let (body, copy) = gather::gather(head, rest.take().ok_or(Reason::Internal)?).await?;
    *rest = Some(body);
    if let (Some(mirror), Some(copy)) = (&policy.mirror, &copy) {
        mirror::send(local, table, mirror, head, copy);
    }
    Ok(copy)
}

async fn inject(
    faults: &FaultInjection,
    exchange: &mut Exchange,
    body: &mut RequestBody<'_>,
) -> Result<(), Reason> {
    if let Some(delay) = fault::delay(faults) {
        wait(body, delay).await?;
    }
    let Some(status) = fault::abort(faults) else { return Ok(()) };
    exchange.with_status(status);
    Err(Reason::FaultInjected)
}

async fn wait(body: &mut RequestBody<'_>, pause: Duration) -> Result<(), Reason> {
    if pause.is_zero() {
        return Ok(());
    }
    body.while_client_stays(tokio::time::sleep(pause)).await
}

/// Lets go of an answer that nobody will see, and of its connection as if it had been relayed, if that is quickly done.
/// The request, which another attempt will send.
fn discard<'a>(
    local: &Local,
    service: &ServiceEntry,
    in_flight: &InFlight,
    answer: Answer<'a>,
) -> Option<Unsent<'a>> {
    let Answer { mut body, upload, .. } = answer;
    body.skip();
    if let (ResponseBody::Http1(body), true) = (body, upload.is_done())
        && let Some(connection) = body.into_idle()
    {
        let idle = service.service.timeouts.connection_idle;
        local.pool().give(in_flight.endpoint(), connection, idle, Instant::now());
    }
    upload.rewind()
}
