//! Waits for the head of a request, and reads it.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::time::{Duration, Instant};

use super::{
    super::{
        Client,
        detect::{self, Known},
    },
    Connection,
};
use crate::{
    http1::{Most, ParsedRequest, request},
    message::RequestHead,
    reason::Reason,
};

/// What some clients end a body with, although it belongs to nothing: RFC 9112 section 2.2. Alone, it is no beginning
/// of a request that would have to go on in time.
const LINE_END: &[u8] = b"\r\n";

/// What came.
#[derive(Debug)]
pub(super) enum Came {
    Request(ParsedRequest),
    /// Nothing: the connection waits for its next request.
    Nothing,
    /// The connection begins with the preface of HTTP/2.
    Http2,
    /// The client has gone, which is its right between two requests.
    End,
    /// No request, and how long it took to find out.
    Refused(Reason, Duration),
}

/// Fills `head`, and leaves what follows it in the connection's buffer.
pub(super) async fn read(client: &Client, connection: &mut Connection, head: &mut RequestHead) -> Came {
    let mut first_byte = None;
    poll_fn(|cx| poll(client, connection, head, &mut first_byte, cx)).await
}

fn poll(
    client: &Client,
    connection: &mut Connection,
    head: &mut RequestHead,
    first_byte: &mut Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<Came> {
    let limits = client.listener.limits();
    let (most_line, most) = (limits.max_request_line_bytes as usize, Most::from(&limits));
    let Connection { io: Some(io), input, undecided, alarm, .. } = connection else {
        return Poll::Ready(Came::End);
    };
    loop {
        let unread = input.buffer.unread();
        if *undecided && !unread.is_empty() {
            match detect::by_beginning(unread) {
                Known::Http2 => return Poll::Ready(Came::Http2),
                Known::Http1 => *undecided = false,
                Known::Not => {}
            }
        }
        if !*undecided && unread == LINE_END {
            input.buffer.consume(LINE_END.len());
        } else if !*undecided && !unread.is_empty() {
            match request::parse(unread, most_line, most, head) {
                Ok(Some(parsed)) => {
                    input.buffer.consume(parsed.bytes);
                    return Poll::Ready(Came::Request(parsed));
                }
                Ok(None) => {}
                Err(reason) => {
                    let took = first_byte.map(|since| since.elapsed()).unwrap_or_default();
                    return Poll::Ready(Came::Refused(reason, took));
                }
            }
            if !input.buffer.has_room() {
                client.local.buffers().enlarge(&mut input.buffer, LINE_END.len() + most.bytes);
            }
        }
        match input.poll_read(&client.local, io, cx) {
            Poll::Ready(Ok(n)) if n > 0 => {}
            Poll::Ready(_) => return Poll::Ready(Came::End),
            Poll::Pending if input.buffer.is_empty() => return Poll::Ready(Came::Nothing),
            Poll::Pending => {
                let since = *first_byte.get_or_insert_with(Instant::now);
                let due = alarm.poll(cx, since + limits.header_timeout);
                return due.map(|()| Came::Refused(Reason::HeaderTimeout, limits.header_timeout));
            }
        }
    }
}
