//! HTTP/2 with a client: many requests at a time on one connection, each in a task of its own. RFC 9113.

mod body;
mod delivery;
mod driver;
mod heads;
mod inbound;
mod interim;
mod stream;

use std::rc::Rc;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use tokio::time;

pub(crate) use self::{body::Body, interim::Interim};
use self::{
    driver::{Driver, End},
    stream::Streams,
};
use super::{
    Client, close,
    close::Ending,
    guard::{Guard, Wire},
};
use crate::{
    buffer::Buffer,
    reason::Reason,
    stream::{Io, Stream},
};

/// What a client may send of one request's body before it is taken: 2.5 MB/s where an answer takes 50 ms.
const STREAM_WINDOW: u32 = 128 * 1024;

/// A stream has no less, however many there may be: a frame of the usual size.
const LEAST_STREAM_WINDOW: u32 = 16 * 1024;

/// What a client may send of all bodies before they are taken, and so the most that they cost, as long as no more than a
/// thousand streams may be open.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Small frames of data cost more than their bytes. So many bytes of theirs may wait to be taken.
const SMALL_FRAMES: usize = 1024 * 1024;

/// What is kept of one response for the socket to take.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that were reset and whose frames may still come.
const MAX_RESET_STREAMS: usize = 32;

/// Streams that the client resets before they were looked at.
const MAX_RESET_BEFORE_ACCEPT: usize = 100;

/// Streams that we had to reset for a fault of the client, over the life of a connection.
const MAX_FAULTS: usize = 1_000;

/// Serves a connection to its end. `read` is what was read of it before it was known to be HTTP/2. Dropped, it is cut.
pub(crate) async fn serve(client: &Rc<Client>, stream: Stream, read: Buffer) {
    let wire = Wire::new(client, stream, read);
    let streams = Rc::new(Streams::new(client));
    // What only the beginning needs is not kept.
    let connection = Box::pin(handshake(client, &wire)).await;
    let mut driver = connection.map(|connection| Driver::new(client, &wire, &streams, connection));
    let end = match &mut driver {
        Some(driver) => driver.run().await,
        None => End::Quiet,
    };
    drop(driver);
    let Some(stream) = wire.take_stream() else { return };
    let ending = match end {
        End::Quiet => Ending::Linger,
        End::Stuck => Ending::Reset,
        End::Vacated => Ending::Plain,
    };
    close::close(client, Io::new(stream), ending).await;
}

/// None if the client does not begin as it must, or not in time.
async fn handshake(client: &Rc<Client>, wire: &Rc<Wire>) -> Option<Connection<Guard, Bytes>> {
    let limits = client.listener.limits();
    let (stream_window, connection_window) = windows(limits.max_concurrent_streams);
    let handshake = Builder::new()
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(limits.max_header_bytes)
        .initial_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .data_frame_budget(SMALL_FRAMES)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_BEFORE_ACCEPT)
        .max_local_error_reset_streams(Some(MAX_FAULTS))
        .handshake::<_, Bytes>(Guard(Rc::clone(wire)));
    let closing = async {
        client.listener.closing().await;
        time::sleep(driver::CLOSING_TIMEOUT).await;
    };
    tokio::select! {
        biased;
        connection = handshake => match connection {
            Ok(connection) => Some(connection),
            Err(e) => {
                tracing::debug!("{}: no HTTP/2: {e}", client.peer);
                None
            }
        },
        () = time::sleep(limits.header_timeout) => {
            client.refused(Reason::HeaderTimeout, limits.header_timeout);
            None
        }
        () = closing => None,
    }
}

/// Of each stream and of the connection. Streams whose bodies nobody takes must not use up what others need: the
/// connection's window holds those of all streams that may be open.
fn windows(streams: u32) -> (u32, u32) {
    let stream = (CONNECTION_WINDOW / streams).clamp(LEAST_STREAM_WINDOW, STREAM_WINDOW);
    // The least that HTTP/2 begins with: RFC 9113 section 6.9.2.
    (stream, stream.saturating_mul(streams).clamp(65_535, i32::MAX.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_nobody_takes_leave_room_for_the_others() {
        for streams in [1, 2, 99, 100, 128, 129, 1_000, 9_999, 10_000] {
            let (stream, connection) = windows(streams);
            assert!(u64::from(stream) * u64::from(streams) <= u64::from(connection), "{streams}");
            assert!(stream >= LEAST_STREAM_WINDOW && connection <= 10_000 * LEAST_STREAM_WINDOW, "{streams}");
        }
        assert_eq!(windows(100), (128 * 1024, 12_800 * 1024));
    }
}
