//! A copy of a request's body, for those who send it more than once, as long as it is small.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::{
    body::{Length, MOST_KEPT, Replay, RequestBody},
    message::{Name, RequestHead},
    reason::Reason,
};

/// The body, as if nobody had looked at it, and a copy of it; none if it is large, or nobody knows how large and it is
/// not all here: somebody who streams may wait for the answer to what is here before there is more; none if it has
/// trailers.
pub(super) async fn gather<'a>(
    head: &RequestHead,
    mut body: RequestBody<'a>,
) -> Result<(RequestBody<'a>, Option<Bytes>), Reason> {
    let waits = match body.length() {
        Length::Empty => return Ok((body, Some(Bytes::new()))),
        // Who asks first whether the body is wanted will not send it before it is told.
        _ if head.fields.has(Name::Expect) => return Ok((body, None)),
        Length::Sized(n) if n > MOST_KEPT as u64 => return Ok((body, None)),
        Length::Sized(_) => true,
        Length::Unknown => false,
    };
    let mut kept = Vec::new();
    let whole = poll_fn(|cx| {
        let mut idle = Context::from_waker(Waker::noop());
        let cx = if waits { cx } else { &mut idle };
        match take(&mut body, &mut kept, cx) {
            Poll::Pending if !waits => Poll::Ready(Ok(false)),
            polled => polled,
        }
    })
    .await?;
    let kept = Bytes::from(kept);
    let trailers = if whole { body.take_trailers() } else { None };
    // They cannot be had twice.
    let copy = (whole && trailers.is_none()).then(|| kept.clone());
    let body = Replay::before(kept, body).with_trailers(trailers);
    Ok((RequestBody::Replay(Box::new(body)), copy))
}

/// Whether all of it was taken, or it is too much.
fn take(body: &mut RequestBody<'_>, kept: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<Result<bool, Reason>> {
    loop {
        let Poll::Ready(bytes) = body.poll_fill(cx) else { return Poll::Pending };
        let bytes = bytes?;
        let n = bytes.len();
        if n == 0 {
            return Poll::Ready(Ok(true));
        }
        if kept.len() + n > MOST_KEPT {
            return Poll::Ready(Ok(false));
        }
        kept.extend_from_slice(bytes);
        body.consume(n);
    }
}
