//! The attempts of one request, until one of them has an answer or there is no point in another.

use std::{future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};

use tokio::time::{Duration, Instant};
use weir_proto::FaultInjection;

use super::{
    admit::{self, Denied, Wanted},
    attempt::{self, Attempted},
    budget, fault, gather,
    hedge::Hedge,
    mirror,
    place::{Cookies, Place},
    prepare::{self, Prepared},
    target,
};
use crate::{
    alarm::Alarm,
    body::{RequestBody, ResponseBody},
    downstream::{Client, Interim},
    endpoint::{EndpointId, InFlight},
    exchange::Exchange,
    grpc::Call,
    headers::{Host, Upgrade},
    health::Verdict,
    message::RequestHead,
    reason::Reason,
    retry::{self, Ended, Repeatable},
    table::ServiceEntry,
    upstream::{Answer, Clock, Failure, Unsent},
    worker::Local,
};

/// A backend's answer, and what it is to the request.
pub(super) struct Outcome<'a> {
    pub(super) answer: Answer<'a>,
    pub(super) in_flight: InFlight,
    pub(super) service: Arc<ServiceEntry>,
    pub(super) upgrade: Upgrade,
    /// What the answer says about the backend.
    pub(super) verdict: Verdict,
    /// What the client is given to come back to where it was.
    pub(super) cookies: Option<Cookies>,
}

/// What of a request every attempt wants to know.
pub(super) struct Request<'r> {
    pub(super) client: &'r Rc<Client>,
    pub(super) head: &'r mut RequestHead,
    pub(super) call: Option<Call>,
    pub(super) upgrade: Upgrade,
    /// Sent twice it means the same as sent once.
    pub(super) idempotent: bool,
}

/// Leaves in `rest` what was not sent of the body, if that is known. What comes of it settles the service's circuit.
pub(super) async fn relay<'a>(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    head: &mut RequestHead,
    rest: &mut Option<RequestBody<'a>>,
    interim: &mut Interim<'_>,
    alarm: &mut Alarm,
    call: Option<Call>,
) -> Result<Outcome<'a>, Reason> {
    let mut prepared = prepare::prepare(client, exchange, head, rest)?;
    let Some(permit) = prepared.permit.take() else {
        return attempts(client, exchange, head, rest, interim, alarm, call, prepared).await;
    };
    let outcome = Box::pin(attempts(client, exchange, head, rest, interim, alarm, call, prepared)).await;
    let verdict = match &outcome {
        Ok(outcome) => Some(outcome.verdict),
        Err(reason) => Verdict::of_failure(*reason),
    };
    if let Some(service) = exchange.service() {
        service.live.settle(permit, verdict, &service.service);
    }
    outcome
}

async fn attempts<'a>(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    head: &mut RequestHead,
    rest: &mut Option<RequestBody<'a>>,
    interim: &mut Interim<'_>,
    alarm: &mut Alarm,
    call: Option<Call>,
    prepared: Prepared,
) -> Result<Outcome<'a>, Reason> {
    let local = &client.local;
    let Prepared { mut table, mut service, upgrade, .. } = prepared;
    let mut body = rest.take().ok_or(Reason::Internal)?;
    if let Some(faults) = &service.service.fault_injection {
        let injected = inject(faults, exchange, &mut body).await;
        if let Err(reason) = injected {
            *rest = Some(body);
            return Err(reason);
        }
    }
    let copies = service.service.mirror.is_some() || service.service.hedge_policy.is_some();
    let mut copy = None;
    if copies && upgrade == Upgrade::Strip {
        (body, copy) = gather::gather(head, body).await?;
    }
    if let (Some(mirror), Some(copy)) = (&service.service.mirror, &copy) {
        mirror::send(local, &table, mirror, head, copy);
    }

    let policy = &service.service.retry_policy;
    let idempotent = retry::is_idempotent(&head.method) || policy.retry_non_idempotent;
    let mut of = Request { client, head, call, upgrade, idempotent };
    let timeouts = &service.service.timeouts;
    let timeout = call.and_then(|call| call.timeout).unwrap_or(timeouts.request);
    let mut clock = Clock::new(timeout, timeouts.per_try, alarm);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut request = Unsent::Body(body);
    let mut place = Place::of(&service, of.head, client);
    loop {
        let pinned = place.pinned(&service);
        let wanted = Wanted { tried: &tried, may_decide: idempotent, key: place.key(), pinned };
        let admitted = admit::admit(local, &table, &service, wanted);
        let in_flight = match request.body().while_client_stays(admitted).await? {
            Ok(in_flight) => in_flight,
            Err(Denied::Refused(reason)) => {
                *rest = Some(request.into_body());
                return Err(reason);
            }
            // All that the table offers was retired before anything was sent.
            Err(Denied::Outdated(newest)) => {
                let found = target::of(&newest, &Host::of(of.head)?.name, of.head.path());
                service = Arc::clone(found.service?);
                exchange.rerouted(&service);
                place = Place::of(&service, of.head, client);
                table = newest;
                continue;
            }
        };
        exchange.attempt(in_flight.endpoint());
        let hedge = service.service.hedge_policy.filter(|_| idempotent && exchange.retries() == 0);
        let hedge = hedge.zip(copy.as_ref()).map(|(hedge, body)| Hedge { wanted, body, delay: hedge.delay });
        let stays = pinned.is_some_and(|pinned| pinned.id() == in_flight.endpoint().id());
        let attempt =
            attempt::send(&mut of, &service, in_flight, stays, request, hedge, exchange, &mut clock, interim);
        let Attempted { result, mut in_flight } = attempt.await;
        let policy = &service.service.retry_policy;
        let repeatable = |whole| Repeatable { idempotent, whole };
        match result {
            Ok(answer) => {
                let verdict =
                    attempt::learn_from_answer(&service, &mut in_flight, &answer.head, call.is_some());
                let ended = Ended::Answered { head: &answer.head, call: call.is_some() };
                let worth = service.looks_at_answers
                    && retry::allowed(
                        policy,
                        exchange.retries(),
                        ended,
                        repeatable(answer.upload.is_whole()),
                    );
                let pause = worth.then(|| pause(&service, exchange.retries(), ended, &clock)).flatten();
                let Some(pause) = pause else {
                    let cookies = place.cookies(&service, in_flight.endpoint(), client.secure);
                    return Ok(Outcome { answer, in_flight, service, upgrade, verdict, cookies });
                };
                tried.push(in_flight.endpoint().id());
                let unsent = discard(local, &service, &in_flight, answer);
                drop(in_flight);
                request = unsent.ok_or(Reason::Internal)?;
                wait(request.body(), pause).await?;
            }
            Err(Failure::Retired(unsent)) => {
                exchange.withdraw();
                request = unsent;
                continue;
            }
            Err(Failure::Failed { reason, progress, request: unsent }) => {
                attempt::learn_from_failure(&service, &mut in_flight, reason, timeout);
                tried.push(in_flight.endpoint().id());
                drop(in_flight);
                let ended = Ended::Failed(progress);
                let worth = retry::allowed(policy, exchange.retries(), ended, repeatable(unsent.is_some()));
                let pause = worth.then(|| pause(&service, exchange.retries(), ended, &clock)).flatten();
                match (pause, unsent) {
                    (Some(pause), Some(whole)) => {
                        request = whole;
                        wait(request.body(), pause).await?;
                    }
                    (_, unsent) => {
                        *rest = unsent.map(Unsent::into_body);
                        return Err(reason);
                    }
                }
            }
        }
        exchange.retry();
        clock.try_again();
    }
}

/// The trouble that the service's settings ask for.
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

/// How long to wait before the next attempt. None if there is no time for it, or the budget is spent.
fn pause(service: &ServiceEntry, retries: u32, ended: Ended<'_>, clock: &Clock<'_>) -> Option<Duration> {
    let asked = match ended {
        Ended::Answered { head, .. } => retry::retry_after(&head.fields),
        Ended::Failed(_) => None,
    };
    let pause = match retry::is_immediate(retries, ended) {
        true => Duration::ZERO,
        false => retry::pause(&service.service.retry_policy, retries, asked, clock.left())?,
    };
    budget::withdraw(service).then_some(pause)
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
    let sent = upload.is_done();
    body.skip();
    if let (ResponseBody::Http1(body), true) = (body, sent)
        && let Some(connection) = body.into_idle()
    {
        let idle = service.service.timeouts.connection_idle;
        local.pool().give(in_flight.endpoint(), connection, idle, Instant::now());
    }
    upload.rewind()
}
