//! One request from top to bottom.

mod check;
mod target;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, rc::Rc, sync::Arc};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Uri, Version, request::Parts};

use self::check::Checked;
use crate::{
    access_log, answer,
    body::{Idle, Relayed, RequestBody, ResponseBody},
    downstream::Client,
    endpoint::{EndpointId, InFlight},
    exchange::Exchange,
    headers::{self, Origin, Upgrade},
    reason::Reason,
    retry::{self, Repeatable},
    table::ServiceEntry,
    upgrade::Tunnel,
    upstream::{self, Answer, Clock, Failure},
};

/// Answers a request: with a backend's response, or with our own that says why there is none. Never fails; a panic
/// ends this request only.
pub(crate) async fn serve(client: &Rc<Client>, request: Request<RequestBody>) -> Response<ResponseBody> {
    let body = request.body().client().cloned();
    let logged = client.local.log().is_some().then(|| access_log::Request {
        method: request.method().clone(),
        host: check::host_for_log(request.headers()),
        path: request.uri().path().to_owned(),
    });
    let mut exchange = Exchange::begin(client, logged, body);
    let outcome = AssertUnwindSafe(relay(client, &mut exchange, request)).catch_unwind().await;
    match outcome {
        Ok(Ok(relayed)) => respond(client, exchange, relayed),
        Ok(Err(reason)) => answer::response(reason, exchange),
        Err(_) => {
            client.local.counters().panics.add(1);
            answer::response(Reason::Internal, exchange)
        }
    }
}

/// A backend's answer, and what it is to the request.
struct Outcome {
    answer: Answer,
    in_flight: InFlight,
    service: Arc<ServiceEntry>,
    upgrade: Upgrade,
}

async fn relay(
    client: &Rc<Client>,
    exchange: &mut Exchange,
    request: Request<RequestBody>,
) -> Result<Outcome, Reason> {
    let (mut parts, body) = request.into_parts();
    let Checked { host, upgrade } = check::check(&mut parts, client.local.pseudonym())?;

    // One table from here to the end, unless all that it offers is retired before anything was sent.
    let mut table = client.local.table().ok_or(Reason::NothingConfigured)?;
    let mut service = Arc::clone(target::service(&table, &host.name, parts.uri.path())?);
    exchange.routed(&service);

    let version = parts.version;
    headers::request(
        &mut parts.headers,
        upgrade,
        Origin { peer: &client.peer_value, host: host.value, version },
        client.local.pseudonym(),
    );
    to_backend(&mut parts, &body);

    let idempotent = retry::is_idempotent(&parts.method);
    let mut clock = Clock::new(service.service.timeouts.request);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut request = Request::from_parts(parts, body.clone());
    loop {
        let in_flight = match pick(&service, &tried) {
            Ok(in_flight) => in_flight,
            Err(reason) => {
                let newest =
                    client.local.table().filter(|newest| !Rc::ptr_eq(newest, &table)).ok_or(reason)?;
                service = Arc::clone(target::service(&newest, &host.name, request.uri().path())?);
                exchange.routed(&service);
                table = newest;
                continue;
            }
        };
        let policy = &service.service.retry_policy;
        let endpoint = in_flight.endpoint();
        exchange.attempt(endpoint);
        // Once it is on its way it does not come back. A copy is only worth its price where it may be used.
        let again = (idempotent && body.is_untouched() && exchange.retries() < policy.num_retries)
            .then(|| copy(&request, &body));
        let timeouts = &service.service.timeouts;
        match upstream::send(&client.local, endpoint, timeouts, &mut clock, request).await {
            Ok(answer) => return Ok(Outcome { answer, in_flight, service, upgrade }),
            Err(Failure::Retired(unsent)) => {
                exchange.withdraw();
                request = unsent;
            }
            Err(Failure::Failed { reason, progress, request: unsent }) => {
                tried.push(endpoint.id());
                let repeatable = Repeatable { idempotent, body_untouched: body.is_untouched() };
                match unsent.or(again) {
                    Some(whole) if retry::allowed(policy, exchange.retries(), progress, repeatable) => {
                        exchange.retry();
                        request = whole;
                    }
                    _ => return Err(reason),
                }
            }
        }
    }
}

/// The next endpoint that was not tried; when all were, any.
fn pick(service: &ServiceEntry, tried: &[EndpointId]) -> Result<InFlight, Reason> {
    let endpoint = service.balance.pick(tried).or_else(|| service.balance.pick(&[]));
    match endpoint {
        Some(endpoint) => Ok(endpoint.begin()),
        None if service.members.is_empty() => Err(Reason::NoBackends),
        None => Err(Reason::NoRoutableBackend),
    }
}

/// Makes the head of the request the one that goes to the backend: HTTP/1.1 and the target without the authority.
fn to_backend(parts: &mut Parts, body: &RequestBody) {
    parts.version = Version::HTTP_11;
    if parts.uri.authority().is_some() {
        let path = parts.uri.path_and_query().cloned();
        parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    let unknown_length = body.client().is_some() && !parts.headers.contains_key(http::header::CONTENT_LENGTH);
    if unknown_length {
        let chunked = http::HeaderValue::from_static("chunked");
        parts.headers.insert(http::header::TRANSFER_ENCODING, chunked);
    }
}

fn copy(request: &Request<RequestBody>, body: &RequestBody) -> Request<RequestBody> {
    let mut copy = Request::new(body.clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    // Where hyper keeps how the names were written.
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

/// Passes the backend's response on, or opens the tunnel that it agrees to.
fn respond(client: &Rc<Client>, mut exchange: Exchange, outcome: Outcome) -> Response<ResponseBody> {
    let Outcome { answer: Answer { response, lease }, in_flight, service, upgrade } = outcome;
    let (mut parts, incoming) = response.into_parts();
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && upgrade == Upgrade::Strip {
        return answer::response(Reason::UpgradeUnexpected, exchange);
    }
    if !headers::is_plain_response(&parts.headers) {
        return answer::response(Reason::BackendMalformed, exchange);
    }
    let keep = if switches { Upgrade::Keep } else { Upgrade::Strip };
    headers::response(&mut parts.headers, keep, parts.version, client.local.pseudonym());
    parts.version = Version::HTTP_11;
    exchange.answer(Reason::Ok, parts.status);
    if switches {
        client.tunnel(Tunnel { lease, in_flight, exchange });
        return Response::from_parts(parts, ResponseBody::nothing());
    }
    let relayed = Relayed {
        incoming,
        lease,
        in_flight,
        idle_timeout: service.service.timeouts.body_idle,
        idle: Idle::default(),
    };
    Response::from_parts(parts, ResponseBody::relayed(relayed, exchange))
}
