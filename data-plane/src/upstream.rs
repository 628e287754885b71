//! The seam to backends: a connection takes a request and yields a response. HTTP/1 by hyper.

mod clock;
mod connect;
mod pool;

use std::{rc::Rc, sync::Arc};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::Instant;
use weir_proto::Timeouts;

pub(crate) use self::{
    clock::Clock,
    connect::Parts,
    pool::{Lease, Pool},
};
use crate::{body::RequestBody, endpoint::Endpoint, reason::Reason, retry::Progress, worker::Local};

/// What a backend answered, and the connection that it answered on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// An attempt without an answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The endpoint was retired before anything was sent.
    Retired(Request<RequestBody>),
    /// There was an attempt.
    Failed {
        /// What the client is told if nobody tries again.
        reason: Reason,
        /// How far it got.
        progress: Progress,
        /// The request, if it came back whole.
        request: Option<Request<RequestBody>>,
    },
}

/// Sends a request to an endpoint, on an idle connection or a new one, and waits for the head of the response.
pub(crate) async fn send(
    local: &Rc<Local>,
    endpoint: &Arc<Endpoint>,
    timeouts: &Timeouts,
    clock: &mut Clock,
    mut request: Request<RequestBody>,
) -> Result<Answer, Failure> {
    let body = request.body().clone();
    loop {
        let idle = local.pool().take(endpoint);
        let reused = idle.is_some();
        let mut backend = match idle {
            Some(backend) => backend,
            None => match connect::connect(local, endpoint, clock.cap(timeouts.connect)).await {
                Ok(backend) => backend,
                Err(reason) => {
                    return Err(Failure::Failed {
                        reason,
                        progress: Progress::NotConnected,
                        request: Some(request),
                    });
                }
            },
        };
        if endpoint.is_retired() {
            return Err(Failure::Retired(request));
        }
        if reused {
            local.counters().upstream_reused.add(1);
        }
        let sent = Instant::now();
        match clock
            .until(backend.sender.try_send_request(request), body.client().map(|body| &**body), sent)
            .await
        {
            Some(Ok(response)) => {
                let lease = Lease::new(local.pool(), endpoint, backend, timeouts.connection_idle);
                return Ok(Answer { response, lease });
            }
            Some(Err(mut error)) => match error.take_message() {
                // An idle connection that the backend has closed meanwhile: as if it had not been there.
                Some(unsent) if reused => request = unsent,
                unsent => return Err(failed(&error, unsent, &body)),
            },
            None => {
                let reason = body.client().and_then(|body| body.failure()).unwrap_or(Reason::ResponseTimeout);
                return Err(Failure::Failed { reason, progress: Progress::Answered, request: None });
            }
        }
    }
}

fn failed(
    error: &TrySendError<Request<RequestBody>>,
    unsent: Option<Request<RequestBody>>,
    body: &RequestBody,
) -> Failure {
    let error = error.error();
    let client_failed = body.client().and_then(|body| body.failure());
    let (reason, progress) = match client_failed {
        Some(reason) => (reason, Progress::Answered),
        None if error.is_parse_too_large() => (Reason::BackendHeaderTooLarge, Progress::Answered),
        None if error.is_parse() => (Reason::BackendMalformed, Progress::Answered),
        None if unsent.is_some() => (Reason::BackendReset, Progress::NotSent),
        None => (Reason::BackendReset, Progress::Sent),
    };
    Failure::Failed { reason, progress, request: unsent }
}
