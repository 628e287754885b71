//! HTTP/1 with backends, in the task of the request: nothing else knows of a connection while it is used.

mod body;
mod connection;
mod upload;

use std::{future::poll_fn, task::Poll};

use http::StatusCode;
use tokio::time::Duration;

pub(crate) use self::{body::Body, connection::Connection, upload::Upload};
use super::{Answer, Attempt, Clock, Failure, Flow, Unsent, Upload as AnyUpload, awaited::Awaited, connect};
use crate::{
    body::ResponseBody,
    downstream::Interim,
    endpoint::{Leave, unless_retired},
    headers::{self, Upgrade},
    http1::{Most, ParsedResponse},
    message::ResponseHead,
    reason::Reason,
    retry::Progress,
};

/// More responses before the last one are no response.
const MAX_INTERIM: usize = 10;

/// See `upstream::send`.
pub(super) async fn send<'a>(
    attempt: Attempt<'_>,
    request: Unsent<'a>,
    clock: &mut Clock<'_>,
    interim: &mut Interim<'_>,
) -> Result<Answer<'a>, Failure<'a>> {
    let Attempt { local, service, endpoint, head, .. } = attempt;
    let timeouts = &service.service.timeouts;
    let mut upload = match request {
        Unsent::Http1(mut upload) => {
            if attempt.new_head {
                upload.set_head(head);
            }
            upload
        }
        Unsent::Body(body) => Upload::new(local, head, body, attempt.keeps),
    };
    let mut stale = false;
    loop {
        // Where one idle connection was dead, the others may be.
        let idle = if stale { None } else { local.pool().take(endpoint) };
        let reused = idle.is_some();
        let mut connection = if let Some(connection) = idle {
            connection
        } else {
            let connected = connect(service, endpoint, clock.cap(timeouts.connect));
            let connected = unless_retired(endpoint, attempt.pinned, connected);
            match upload.body().while_client_stays(connected).await {
                Ok(Some(Ok((stream, connected)))) => Box::new(Connection::new(local, stream, connected)),
                Ok(None) => return Err(Failure::Retired(Unsent::Http1(upload))),
                Ok(Some(Err(reason))) => {
                    let request = Some(Unsent::Http1(upload));
                    return Err(Failure::Failed { reason, progress: Progress::NotConnected, request });
                }
                Err(reason) => {
                    return Err(Failure::Failed { reason, progress: Progress::Over, request: None });
                }
            }
        };
        if endpoint.is_retired(attempt.pinned) {
            return Err(Failure::Retired(Unsent::Http1(upload)));
        }
        if reused {
            local.counters().upstream_reused.add(1);
        }
        let mut head = ResponseHead::default();
        match exchange(&attempt, &mut connection, &mut upload, &mut head, clock, interim).await {
            Ok(parsed) => {
                let body = ResponseBody::Http1(Body::new(
                    connection,
                    &parsed,
                    Most::from(&service.service.response_limits),
                ));
                return Ok(Answer { head, body, upload: AnyUpload::Http1(upload) });
            }
            // An idle connection that was dead already, of which the end has just come: as if it had not been there. What
            // may have been read on it is sent again only if that means the same (RFC 9112 section 9.3.1).
            Err((reason, progress))
                if reused && was_dead(reason, progress, attempt.keeps, upload.flow()) && upload.rewind() =>
            {
                local.counters().upstream_stale.add(1);
                stale = true;
            }
            Err((reason, progress)) => {
                let request = upload.rewind().then_some(Unsent::Http1(upload));
                return Err(Failure::Failed { reason, progress, request });
            }
        }
    }
}

/// Writes the request and reads the head of the response, both at once.
async fn exchange(
    attempt: &Attempt<'_>,
    connection: &mut Connection,
    upload: &mut Upload<'_>,
    head: &mut ResponseHead,
    clock: &mut Clock<'_>,
    interim: &mut Interim<'_>,
) -> Result<ParsedResponse, (Reason, Progress)> {
    let method = &attempt.head.method;
    let most = Most::from(&attempt.service.service.response_limits);
    let (mut before, mut leave, mut awaited) = (0, Leave::default(), Awaited::default());
    poll_fn(|cx| {
        if let Poll::Ready(Err(reason)) = upload.poll(cx, connection.io()) {
            return Poll::Ready(Err((reason, Progress::Over)));
        }
        loop {
            let parsed = match connection.poll_head(cx, method, most, head) {
                Poll::Pending => break,
                Poll::Ready(Ok(parsed)) => parsed,
                Poll::Ready(Err((Reason::BackendReset, _))) if !connection.has_answered() => {
                    return Poll::Ready(Err((Reason::BackendReset, lost(upload))));
                }
                Poll::Ready(Err((reason, progress))) => return Poll::Ready(Err((reason, progress))),
            };
            if !is_interim(head) {
                return Poll::Ready(verdict(
                    parsed,
                    head,
                    attempt.upgrade == Upgrade::Keep && upload.is_done(),
                ));
            }
            before += 1;
            if before > MAX_INTERIM {
                return Poll::Ready(Err((Reason::BackendMalformed, Progress::Answered)));
            }
            let aliases = headers::response(head, Upgrade::Strip, attempt.local.pseudonym());
            attempt.local.counters().aliases_dropped.add(aliases);
            interim.send(head);
        }
        interim.poll_write(cx);
        if upload.is_done() && upload.body().poll_gone(cx).is_ready() {
            return Poll::Ready(Err((Reason::ClientGone, Progress::Over)));
        }
        if leave.poll(cx, attempt.endpoint).is_ready() {
            return Poll::Ready(Err((Reason::BackendDrainTimeout, lost(upload))));
        }
        if upload.flow() == Flow::Client {
            let way = attempt.endpoint.connections().stalls();
            if let Poll::Ready(end) = awaited.poll(cx, attempt, clock, upload.body(), way) {
                return Poll::Ready(Err(end));
            }
        }
        clock.poll(cx, upload.flow()).map(Err)
    })
    .await
}

/// An end that comes later than so long after the request has another reason than that the connection was dead before.
const DEAD_WITHIN: Duration = Duration::from_secs(1);

/// Whether a connection ended without a byte of an answer, and the request may go on another one.
fn was_dead(reason: Reason, progress: Progress, idempotent: bool, flow: Flow) -> bool {
    match progress {
        Progress::NotSent => true,
        Progress::Sent => {
            let at_once = !matches!(flow, Flow::Done(at) if at.elapsed() > DEAD_WITHIN);
            idempotent && at_once && reason == Reason::BackendReset
        }
        _ => false,
    }
}

/// How far a request got that nothing was heard of.
fn lost(upload: &Upload<'_>) -> Progress {
    if upload.has_sent() { Progress::Sent } else { Progress::NotSent }
}

fn is_interim(head: &ResponseHead) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

/// `upgrade` is whether the request asks to go on in another protocol, and has ended: what is left of its body would
/// follow as it came.
fn verdict(
    parsed: ParsedResponse,
    head: &ResponseHead,
    upgrade: bool,
) -> Result<ParsedResponse, (Reason, Progress)> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !upgrade {
        return Err((Reason::UpgradeUnexpected, Progress::Answered));
    }
    Ok(parsed)
}
