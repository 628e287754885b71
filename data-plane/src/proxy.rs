//! One request from top to bottom.

pub(crate) mod admit;
mod attempt;
mod budget;
pub(crate) mod check;
mod fault;
mod gather;
mod hedge;
mod mirror;
mod place;
mod prepare;
mod relay;
pub(crate) mod target;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, pin::pin, rc::Rc};

use futures_util::FutureExt;
use http::StatusCode;

use self::relay::{Outcome, relay};
use crate::{
    access_log,
    alarm::Alarm,
    answer,
    body::RequestBody,
    downstream::{Client, Interim},
    exchange::Exchange,
    grpc::Call,
    headers::{self, Upgrade},
    message::{Name, RequestHead},
    reason::Reason,
    reply::{Held, Reply},
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
    let Outcome { mut answer, in_flight, service, upgrade, good_so_far, cookies } = outcome;
    let status = answer.head.status;
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && upgrade == Upgrade::Strip {
        return answer::reply(Reason::UpgradeUnexpected, exchange, call, true);
    }
    let keep = if switches { Upgrade::Keep } else { Upgrade::Strip };
    let aliases = headers::response(&mut answer.head, keep, client.local.pseudonym());
    client.local.counters().aliases_dropped.add(aliases);
    for cookie in cookies.into_iter().flatten().flatten() {
        answer.head.fields.push(Name::SetCookie, cookie.as_bytes());
    }
    exchange.answer(Reason::Ok, status);
    let held = Held::new(&client.local, in_flight, good_so_far, &service.service);
    Reply::relayed(answer, held, exchange, switches)
}
