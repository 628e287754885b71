//! HTTP/2 with backends: the requests of a worker share a few connections to each of them. RFC 9113.

mod body;
mod connection;
mod outbound;
mod pool;
#[cfg(test)]
mod tests;
mod upload;
mod watch;

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Method, Response, StatusCode};
use tokio::time::{self, Instant};

pub(crate) use self::{body::Body, pool::Pool, upload::Upload};
use self::{
    connection::Connection,
    pool::{Connecting, Place, Waiting},
    watch::Stream,
};
use super::{Answer, Attempt, Clock, Failure, Flow, Unsent, Upload as AnyUpload, awaited::Awaited, connect};
use crate::{
    admission::Stalls,
    body::{RequestBody, ResponseBody},
    downstream::Interim,
    endpoint::{Leave, unless_retired},
    headers::{self, Upgrade},
    message::ResponseHead,
    reason::Reason,
    retry::Progress,
};

/// More responses before the last one are no response.
const MAX_INTERIM: usize = 10;

type Failed = (Reason, Progress);

/// See `upstream::send`.
pub(super) async fn send<'a>(
    attempt: Attempt<'_>,
    mut body: RequestBody<'a>,
    clock: &mut Clock<'_>,
    interim: &mut Interim<'_>,
) -> Result<Answer<'a>, Failure<'a>> {
    loop {
        // Fields are always taken, but bodies share what the backend allows.
        let place = place(&attempt, !body.is_ended(), clock);
        let place = unless_retired(attempt.endpoint, attempt.pinned, place);
        let place = match body.while_client_stays(place).await {
            Ok(Some(Ok(place))) => place,
            Ok(None) => return Err(Failure::Retired(Unsent::Body(body))),
            Ok(Some(Err(reason))) => return Err(failed(reason, Progress::NotConnected, Some(body))),
            Err(reason) => return Err(failed(reason, Progress::Over, None)),
        };
        if attempt.endpoint.is_retired(attempt.pinned) {
            return Err(Failure::Retired(Unsent::Body(body)));
        }
        let (response, out) = match begin(&attempt, place.sender(), &body) {
            Ok(begun) => begun,
            // It takes no more requests: as if it had not been there.
            Err(None) => {
                place.retire();
                continue;
            }
            Err(Some(reason)) => return Err(failed(reason, Progress::Over, Some(body))),
        };
        let stream = Rc::new(place.watch().begin(response.stream_id()));
        let mut upload = Upload::new(body, out, Rc::clone(&stream), place.gauge());
        return match exchange(&attempt, response, &stream, place.stalls(), &mut upload, clock, interim).await
        {
            Ok((mut head, incoming)) => {
                let body = match Body::new(&attempt, &mut head, incoming, stream, place) {
                    Ok(body) => body,
                    Err(reason) => return Err(failed(reason, Progress::Answered, None)),
                };
                let body = ResponseBody::Http2(Box::new(body));
                Ok(Answer { head, body, upload: AnyUpload::Http2(upload) })
            }
            Err((reason, progress)) => Err(failed(reason, progress, upload.rewind())),
        };
    }
}

fn failed(reason: Reason, progress: Progress, body: Option<RequestBody<'_>>) -> Failure<'_> {
    Failure::Failed { reason, progress, request: body.map(Unsent::Body) }
}

/// A place on a connection that is there, on a new one, or on the first that has one again. `flows` is as of `Slot::place`,
/// as long as there may be another connection.
async fn place(attempt: &Attempt<'_>, flows: bool, clock: &Clock<'_>) -> Result<Place, Reason> {
    let Attempt { local, service, endpoint, .. } = attempt;
    let timeouts = &service.service.timeouts;
    let slot = local.http2().slot(endpoint, timeouts.connection_idle);
    let most = service.service.circuit_breakers.max_connections_per_backend;
    let there = || slot.place(flows && slot.has_room(most));
    if let Some(place) = there() {
        local.counters().upstream_reused.add(1);
        return Ok(place);
    }
    let timeout = clock.cap(timeouts.connect);
    let deadline = Instant::now() + timeout;
    loop {
        if slot.may_connect(most) {
            let connecting = Connecting::begin(&slot);
            let open = async {
                let (stream, connected) = connect(service, endpoint, timeout).await?;
                Connection::open(local, stream, connected, service.service.response_limits).await
            };
            match time::timeout_at(deadline, open).await.unwrap_or(Err(Reason::ConnectTimeout)) {
                Ok(connection) => connecting.done(connection),
                Err(reason) => return slot.place(false).ok_or(reason),
            }
        } else {
            let waiting = Waiting::begin(&slot, most);
            if time::timeout_at(deadline, waiting.ended()).await.is_err() {
                return slot.place(false).ok_or(Reason::ConnectTimeout);
            }
        }
        if let Some(place) = there() {
            return Ok(place);
        }
    }
}

/// Hands the head to the connection. None if that takes no more.
fn begin(
    attempt: &Attempt<'_>,
    mut sender: SendRequest<Bytes>,
    body: &RequestBody<'_>,
) -> Result<(ResponseFuture, SendStream<Bytes>), Option<Reason>> {
    let request = outbound::request(attempt.head, attempt.service.tls.is_some()).map_err(Some)?;
    sender.send_request(request, body.is_ended()).map_err(|e| {
        tracing::debug!("{}: {e}", attempt.endpoint.key());
        None
    })
}

/// Sends the body and reads the head of the response, both at once.
async fn exchange(
    attempt: &Attempt<'_>,
    mut response: ResponseFuture,
    stream: &Stream,
    way: &Arc<Stalls>,
    upload: &mut Upload<'_>,
    clock: &mut Clock<'_>,
    interim: &mut Interim<'_>,
) -> Result<(ResponseHead, RecvStream), Failed> {
    let (mut before, mut leave, mut awaited) = (0, Leave::default(), Awaited::default());
    let most_fields = attempt.service.service.response_limits.max_headers as usize;
    poll_fn(|cx| {
        if let Poll::Ready(Err(reason)) = upload.poll(cx) {
            return Poll::Ready(Err((reason, Progress::Over)));
        }
        loop {
            match response.poll_informational(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => match std::pin::Pin::new(&mut response).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(response)) => return Poll::Ready(read(response, stream, most_fields)),
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(classify(&e))),
                },
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(classify(&e))),
                Poll::Ready(Some(Ok(response))) => {
                    before += 1;
                    let mut head = outbound::response(&response, most_fields).map_err(answered)?;
                    let unexpected = head.status == StatusCode::SWITCHING_PROTOCOLS || stream.is_malformed();
                    if unexpected || before > MAX_INTERIM {
                        return Poll::Ready(Err((Reason::BackendMalformed, Progress::Answered)));
                    }
                    let aliases = headers::response(&mut head, Upgrade::Strip, attempt.local.pseudonym());
                    attempt.local.counters().aliases_dropped.add(aliases);
                    interim.send(&head);
                }
            }
        }
        interim.poll_write(cx);
        if upload.is_done() && upload.body().poll_gone(cx).is_ready() {
            return Poll::Ready(Err((Reason::ClientGone, Progress::Over)));
        }
        if leave.poll(cx, attempt.endpoint).is_ready() {
            return Poll::Ready(Err((Reason::BackendDrainTimeout, Progress::Sent)));
        }
        if upload.flow() == Flow::Client
            && let Poll::Ready(end) = awaited.poll(cx, attempt, clock, upload.body(), way)
        {
            return Poll::Ready(Err(end));
        }
        clock.poll(cx, upload.flow()).map(Err)
    })
    .await
}

fn read(
    response: Response<RecvStream>,
    stream: &Stream,
    most_fields: usize,
) -> Result<(ResponseHead, RecvStream), Failed> {
    if stream.is_malformed() {
        return Err(answered(Reason::BackendMalformed));
    }
    let (parts, incoming) = response.into_parts();
    let head = outbound::response(&Response::from_parts(parts, ()), most_fields).map_err(answered)?;
    Ok((head, incoming))
}

fn answered(reason: Reason) -> Failed {
    (reason, Progress::Answered)
}

/// What an error before the response means.
fn classify(error: &h2::Error) -> Failed {
    let refused = error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    // A connection that goes away fails those requests that it has not looked at.
    if refused || (error.is_go_away() && error.is_remote()) {
        (Reason::BackendReset, Progress::Refused)
    } else if error.is_library() {
        (Reason::BackendMalformed, Progress::Answered)
    } else {
        (Reason::BackendReset, Progress::Sent)
    }
}

/// Whether a response never has a body, whatever it says.
fn is_bodyless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
