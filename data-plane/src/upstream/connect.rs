//! A connection to a backend, and the task that drives it.

use std::{io, rc::Rc};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task,
    time::{self, Duration, Instant},
};

use crate::{body::RequestBody, endpoint::Endpoint, reason::Reason, worker::Local};

/// Bytes of a response's head.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Fields of a response's head.
const MAX_HEADERS: usize = 256;

/// What is left of a connection when HTTP is over on it: the stream, and what was read from it too early.
pub(crate) type Parts = http1::Parts<TokioIo<TcpStream>>;

/// A connection to a backend.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(super) sender: http1::SendRequest<RequestBody>,
    /// Comes after a `101`.
    pub(super) parts: oneshot::Receiver<Parts>,
    pub(super) born: Instant,
}

pub(super) async fn connect(
    local: &Rc<Local>,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<Backend, Reason> {
    let stream = match time::timeout(timeout, TcpStream::connect(endpoint.address())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => return Err(Reason::ConnectRefused),
        Ok(Err(e)) if e.kind() == io::ErrorKind::TimedOut => return Err(Reason::ConnectTimeout),
        Ok(Err(e)) => {
            tracing::debug!("{}: {e}", endpoint.key());
            return Err(Reason::ConnectFailed);
        }
        Err(_) => return Err(Reason::ConnectTimeout),
    };
    let _ = stream.set_nodelay(true);
    let handshake = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_HEADER_BYTES)
        .handshake::<_, RequestBody>(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|_| Reason::ConnectFailed)?;
    let (end, parts) = oneshot::channel();
    task::spawn_local(drive(Rc::clone(local), connection, end));
    Ok(Backend { sender, parts, born: Instant::now() })
}

async fn drive(
    local: Rc<Local>,
    mut connection: http1::Connection<TokioIo<TcpStream>, RequestBody>,
    end: oneshot::Sender<Parts>,
) {
    local.counters().upstream_opened.add(1);
    // The error went to whoever waits for the response; without one, there is nobody to tell.
    if (&mut connection).await.is_ok() {
        // Only a tunnel waits for them.
        let _ = end.send(connection.into_parts());
    }
    local.counters().upstream_closed.add(1);
}
