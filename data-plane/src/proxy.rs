//! One request from top to bottom.

mod admit;
mod check;
mod target;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, pin::pin, rc::Rc, sync::Arc};

use futures_util::FutureExt;
use http::StatusCode;

use self::{
    admit::{Denied, Wanted},
    check::Checked,
};
use crate::{
    access_log,
    alarm::Alarm,
    answer,
    body::{Length, RequestBody},
    downstream::{Client, Interim},
    endpoint::{EndpointId, InFlight},
    exchange::Exchange,
    grpc::Call,
    headers::{self, Host, Origin, Upgrade},
    message::RequestHead,
    reason::Reason,
    reply::{Held, Reply},
    retry::{self, Repeatable},
    table::ServiceEntry,
    upstream::{self, Answer, Attempt, Clock, Failure, Unsent},
};

/// Answers a request: with a backend's response, or with our own that says why there is none. Never fails; a panic
/// ends this request only. `head` becomes what goes to the backend.
pub(crate) async fn serve<'a>(
    client: &Rc<Client>,
    head: &mut RequestHead,
    body: RequestBody<'a>,
    mut interim: Interim<'_>,
    alarm: &mut Alarm,
) -> Reply<'a> {
    let logged = client.local.log().is_some().then(|| Box::new(access_log::Request::of(head)));
    let mut exchange = Exchange::begin(client, logged);
    let call = Call::of(&head.fields);
    let mut rest = Some(body);
    let outcome = {
        // In its place from the start: it is large, and moving it would show.
        let relayed = pin!(relay(client, &mut exchange, head, &mut rest, &mut interim, alarm, call));
        AssertUnwindSafe(relayed).catch_unwind().await
    };
    match outcome {
        Ok(Ok(outcome)) => respond(client, exchange, outcome, call),
        Ok(Err(reason)) => answer::reply(reason, exchange, call, !is_read(rest)),
        Err(_) => {
            client.local.counters().panics.add(1);
            answer::reply(Reason::Internal, exchange, call, true)
        }
    }
}

/// A backend's answer, and what it is to the request.
struct Outcome<'a> {
    answer: Answer<'a>,
    in_flight: InFlight,
    service: Arc<ServiceEntry>,
    upgrade: Upgrade,
}

/// Leaves in `rest` what was not sent of the body, if that is known.
async fn relay<'a>(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    head: &mut RequestHead,
    rest: &mut Option<RequestBody<'a>>,
    interim: &mut Interim<'_>,
    alarm: &mut Alarm,
    call: Option<Call>,
) -> Result<Outcome<'a>, Reason> {
    let local = &client.local;
    let Checked { upgrade } = check::check(head, local.pseudonym())?;
    let length = rest.as_ref().map_or(Length::Empty, RequestBody::length);
    if let (Length::Sized(n), Some(most)) = (length, client.listener.limits().max_request_body_bytes)
        && n > most
    {
        return Err(Reason::RequestTooLarge);
    }

    // One table from here to the end, unless all that it offers is retired before anything was sent.
    let mut table = local.table().ok_or(Reason::NothingConfigured)?;
    let host = Host::of(head)?;
    let mut service = Arc::clone(target::service(&table, &host.name, head.path())?);
    exchange.routed(&service);

    let host = host.value.to_owned();
    let origin = Origin { peer: &client.peer_text, secure: client.secure, host: &host };
    headers::request(head, upgrade, &origin, local.pseudonym());

    let idempotent = retry::is_idempotent(&head.method);
    let timeout = call.and_then(|call| call.timeout).unwrap_or(service.service.timeouts.request);
    let mut clock = Clock::new(timeout, alarm);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut request = Unsent::Body(rest.take().ok_or(Reason::Internal)?);
    loop {
        let wanted = Wanted { tried: &tried, may_decide: idempotent };
        let in_flight = match admit::admit(local, &table, &service, wanted).await {
            Ok(in_flight) => in_flight,
            Err(Denied::Refused(reason)) => return Err(reason),
            Err(Denied::Outdated(newest)) => {
                service = Arc::clone(target::service(&newest, &Host::of(head)?.name, head.path())?);
                exchange.routed(&service);
                table = newest;
                continue;
            }
        };
        let policy = &service.service.retry_policy;
        let endpoint = in_flight.endpoint();
        exchange.attempt(endpoint);
        let upgrades = upgrade == Upgrade::Keep;
        let attempt = Attempt { local, service: &service, endpoint, head, upgrade: upgrades, pinned: false };
        match upstream::send(attempt, request, &mut clock, interim).await {
            Ok(answer) => return Ok(Outcome { answer, in_flight, service, upgrade }),
            Err(Failure::Retired(unsent)) => {
                exchange.withdraw();
                request = unsent;
            }
            Err(Failure::Failed { reason, progress, request: unsent }) => {
                tried.push(endpoint.id());
                let repeatable = Repeatable { idempotent, whole: unsent.is_some() };
                let again = retry::allowed(policy, exchange.retries(), progress, repeatable);
                match unsent {
                    Some(whole) if again => {
                        exchange.retry();
                        request = whole;
                    }
                    unsent => {
                        *rest = unsent.map(Unsent::into_body);
                        return Err(reason);
                    }
                }
            }
        }
    }
}

/// Whether nothing of the request is left on the client's connection, or only what can be skipped without waiting.
fn is_read(rest: Option<RequestBody<'_>>) -> bool {
    rest.is_some_and(|mut body| body.skip())
}

/// Passes the backend's response on, or opens the tunnel that it agrees to.
fn respond<'a>(
    client: &Rc<Client>,
    mut exchange: Exchange,
    outcome: Outcome<'a>,
    call: Option<Call>,
) -> Reply<'a> {
    let Outcome { mut answer, in_flight, service, upgrade } = outcome;
    let status = answer.head.status;
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && upgrade == Upgrade::Strip {
        return answer::reply(Reason::UpgradeUnexpected, exchange, call, true);
    }
    let keep = if switches { Upgrade::Keep } else { Upgrade::Strip };
    headers::response(&mut answer.head, keep, client.local.pseudonym());
    exchange.answer(Reason::Ok, status);
    let timeouts = &service.service.timeouts;
    let held = Held::new(&client.local, in_flight, timeouts.body_idle, timeouts.connection_idle);
    Reply::relayed(answer, held, exchange, switches)
}
