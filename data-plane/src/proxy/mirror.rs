//! Copies of requests to another service. Nobody waits for them, and nobody sees what becomes of them.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll};

use bytes::Bytes;
use tokio::{
    task,
    time::{self, Instant},
};
use weir_proto::Mirror;

use super::admit::{self, Wanted};
use crate::{
    body::{Replay, RequestBody, ResponseBody},
    downstream::Interim,
    endpoint::{Endpoint, InFlight, Leave},
    health::{self, Verdict},
    message::{Name, RequestHead},
    reason::Reason,
    retry,
    table::{ServiceEntry, Table},
    upstream::{self, Attempt, Clock, Failure, Unsent},
    worker::{Local, Waiter},
};

/// What the name of the host gets, so that backends can tell (as Envoy's).
const SUFFIX: &[u8] = b"-shadow";

/// Sends a copy, if it is the request's turn and there is room for it now.
pub(super) fn send(local: &Rc<Local>, table: &Table, settings: &Mirror, head: &RequestHead, body: &Bytes) {
    if fastrand::u32(..100) >= settings.percent {
        return;
    }
    let Some(service) = table.services.get(&settings.service) else { return };
    let wanted = Wanted { may_decide: retry::is_idempotent(&head.method), ..Wanted::default() };
    let Some(in_flight) = admit::at_once(service, &wanted) else { return };
    local.counters().mirrored.add(1);
    let mut head = head.clone();
    shadow(&mut head);
    let body = RequestBody::Replay(Box::new(Replay::whole(body.clone())));
    task::spawn_local(follow(Rc::clone(local), Arc::clone(service), head, body, in_flight));
}

async fn follow(
    local: Rc<Local>,
    service: Arc<ServiceEntry>,
    head: RequestHead,
    body: RequestBody<'static>,
    mut in_flight: InFlight,
) {
    let _waiter = Waiter::enter(&local).await;
    let timeouts = &service.service.timeouts;
    let mut alarm = local.alarms().take();
    let mut clock = Clock::new(timeouts.request, timeouts.per_try, &mut alarm);
    let endpoint = Arc::clone(in_flight.endpoint());
    let attempt = Attempt::plain(&local, &service, &endpoint, &head);
    let sent = Box::pin(upstream::send(attempt, Unsent::Body(body), &mut clock, &mut Interim::None)).await;
    local.alarms().give(alarm);
    match sent {
        Ok(answer) => {
            let verdict = Verdict::of_status(answer.head.status.as_u16());
            health::learn(&service, &mut in_flight, verdict);
            if verdict == Verdict::Limited {
                health::spare(&endpoint, &answer.head.fields);
            }
            let mut body = answer.body;
            let ended = time::timeout(timeouts.request, forget(&mut body, &endpoint)).await;
            if let (Ok(Ok(())), true, ResponseBody::Http1(body)) = (ended, answer.upload.is_done(), body)
                && let Some(connection) = body.into_idle()
            {
                local.pool().give(&endpoint, connection, timeouts.connection_idle, Instant::now());
            }
        }
        Err(Failure::Failed { reason, .. }) => {
            if let Some(verdict) = Verdict::of_failure(reason) {
                health::learn(&service, &mut in_flight, verdict);
            }
        }
        Err(Failure::Retired(_)) => {}
    }
}

/// Reads to the end, so that the backend sees what it sees of others.
async fn forget(body: &mut ResponseBody, endpoint: &Endpoint) -> Result<(), Reason> {
    let mut leave = Leave::default();
    loop {
        let n = poll_fn(|cx| match leave.poll(cx, endpoint) {
            Poll::Ready(()) => Poll::Ready(Err(Reason::BackendDrainTimeout)),
            Poll::Pending => body.poll_fill(cx).map(|bytes| bytes.map(<[u8]>::len)),
        });
        let n = n.await?;
        if n == 0 {
            return Ok(());
        }
        body.consume(n);
    }
}

/// `shop.example:8080` becomes `shop.example-shadow:8080`.
fn shadow(head: &mut RequestHead) {
    let Some(host) = head.fields.get(Name::Host).map(<[u8]>::to_vec) else { return };
    let port = host.iter().rposition(|byte| *byte == b':').filter(|colon| !host[*colon..].contains(&b']'));
    let (name, port) = host.split_at(port.unwrap_or(host.len()));
    head.fields.set(Name::Host, &[name, SUFFIX, port].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_host_says_what_it_is() {
        for (host, expected) in [
            ("shop.example", "shop.example-shadow"),
            ("shop.example:8080", "shop.example-shadow:8080"),
            ("[::1]", "[::1]-shadow"),
            ("[::1]:80", "[::1]-shadow:80"),
        ] {
            let mut head = RequestHead::default();
            head.fields.push(Name::Host, host.as_bytes());
            shadow(&mut head);
            assert_eq!(head.fields.get(Name::Host), Some(expected.as_bytes()));
        }
    }
}
