//! The attempts of one request, until one of them has an answer or there is no point in another.

use std::{future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};

use tokio::time::{Duration, Instant};

use super::{
    admit::{self, Denied, Wanted},
    attempt::{self, Attempted},
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
    let local = &client.local;
    let Prepared { mut table, mut service, upgrade } = prepare::prepare(client, exchange, head, rest)?;
    let idempotent = retry::is_idempotent(&head.method) || service.service.retry_policy.retry_non_idempotent;
    let mut of = Request { client, head, call, upgrade, idempotent };

    let timeouts = &service.service.timeouts;
    let timeout = call.and_then(|call| call.timeout).unwrap_or(timeouts.request);
    let mut clock = Clock::new(timeout, timeouts.per_try, alarm);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut request = Unsent::Body(rest.take().ok_or(Reason::Internal)?);
    loop {
        let wanted = Wanted { tried: &tried, may_decide: idempotent };
        let admitted = admit::admit(local, &table, &service, wanted);
        let in_flight = match while_client_stays(&mut request, admitted).await? {
            Ok(in_flight) => in_flight,
            Err(Denied::Refused(reason)) => {
                *rest = Some(request.into_body());
                return Err(reason);
            }
            // All that the table offers was retired before anything was sent.
            Err(Denied::Outdated(newest)) => {
                service = Arc::clone(target::service(&newest, &Host::of(of.head)?.name, of.head.path())?);
                exchange.routed(&service);
                table = newest;
                continue;
            }
        };
        exchange.attempt(in_flight.endpoint());
        let again = exchange.retries() > 0;
        let Attempted { result, mut in_flight } =
            attempt::send(&mut of, &service, in_flight, request, again, &mut clock, interim).await;
        let policy = &service.service.retry_policy;
        let repeatable = |whole| Repeatable { idempotent, whole };
        match result {
            Ok(answer) => {
                attempt::learn_from_answer(&service, &mut in_flight, &answer.head, call.is_some());
                let ended = Ended::Answered { head: &answer.head, call: call.is_some() };
                let whole = answer.upload.is_whole();
                let worth = service.looks_at_answers
                    && retry::allowed(policy, exchange.retries(), ended, repeatable(whole));
                let pause = worth.then(|| pause(&service, exchange, ended, &clock)).flatten();
                let Some(pause) = pause else {
                    return Ok(Outcome { answer, in_flight, service, upgrade });
                };
                tried.push(in_flight.endpoint().id());
                let unsent = discard(local, &service, &in_flight, answer, exchange);
                drop(in_flight);
                request = unsent.ok_or(Reason::Internal)?;
                wait(&mut request, pause).await?;
            }
            Err(Failure::Retired(unsent)) => {
                exchange.withdraw();
                request = unsent;
                continue;
            }
            Err(Failure::Failed { reason, progress, request: unsent }) => {
                attempt::learn_from_failure(&service, &mut in_flight, reason);
                tried.push(in_flight.endpoint().id());
                drop(in_flight);
                let ended = Ended::Failed(progress);
                let worth = retry::allowed(policy, exchange.retries(), ended, repeatable(unsent.is_some()));
                let pause = worth.then(|| pause(&service, exchange, ended, &clock)).flatten();
                let (Some(pause), Some(whole)) = (pause, unsent) else {
                    *rest = None;
                    return Err(reason);
                };
                request = whole;
                wait(&mut request, pause).await?;
            }
        }
        exchange.retry();
        clock.try_again();
    }
}

/// How long to wait before the next attempt. None if there is no time for it, or the budget is spent.
fn pause(
    service: &ServiceEntry,
    exchange: &Exchange,
    ended: Ended<'_>,
    clock: &Clock<'_>,
) -> Option<Duration> {
    let retries = exchange.retries();
    let _ = (service, clock);
    Some(if retry::is_immediate(retries, ended) { Duration::ZERO } else { Duration::from_millis(25) })
}

async fn wait(request: &mut Unsent<'_>, pause: Duration) -> Result<(), Reason> {
    if pause.is_zero() {
        return Ok(());
    }
    while_client_stays(request, tokio::time::sleep(pause)).await
}

/// Does something that is not about the client, unless it goes.
async fn while_client_stays<T>(
    request: &mut Unsent<'_>,
    future: impl Future<Output = T>,
) -> Result<T, Reason> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        request.body().poll_gone(cx).map(|()| Err(Reason::ClientGone))
    })
    .await
}

/// Lets go of an answer that nobody will see, and of its connection as if it had been relayed, if that is quickly done.
/// The request, which another attempt will send.
fn discard<'a>(
    local: &Local,
    service: &ServiceEntry,
    in_flight: &InFlight,
    answer: Answer<'a>,
    exchange: &Exchange,
) -> Option<Unsent<'a>> {
    let Answer { mut body, upload, .. } = answer;
    let sent = upload.is_done();
    body.skip();
    if let (ResponseBody::Http1(body), true) = (body, sent)
        && let Some(connection) = body.into_idle()
    {
        let idle = service.service.timeouts.connection_idle;
        let _ = exchange;
        local.pool().give(in_flight.endpoint(), connection, idle, Instant::now());
    }
    upload.rewind()
}
