//! Opens one stream to one control plane.

use std::{error::Error as _, time::Duration};

use http::Uri;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};
use weir_proto::v1::{
    ControlMessage, Hello, ProxyMessage, discovery_client::DiscoveryClient, proxy_message::Message,
};

/// For the TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From there to the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 pings, also on a quiet stream, and how long their answers may take: they notice a peer that is gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that one message may have: a delta is not cut into pages.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// The port of a URL that names none.
const HTTP: u16 = 80;
/// Messages that wait until the connection takes them.
const OUTBOUND: usize = 16;

/// Both directions of an open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) inbound: Streaming<ControlMessage>,
    pub(super) outbound: mpsc::Sender<ProxyMessage>,
}

/// Connects and says hello. Fails with a reason for people.
pub(super) async fn open(plane: &Uri, hello: Hello) -> Result<Stream, String> {
    let channel = Endpoint::from(plane.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect()
        .await
        .map_err(|e| format!("{}; is it running? check --control-plane", cause(&e)))?;
    let mut client = DiscoveryClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (outbound, messages) = mpsc::channel(OUTBOUND);
    // There is room in a fresh channel.
    let _ = outbound.try_send(ProxyMessage { message: Some(Message::Hello(hello)) });
    match timeout(OPEN_TIMEOUT, client.stream(ReceiverStream::new(messages))).await {
        Ok(Ok(answer)) => Ok(Stream { inbound: answer.into_inner(), outbound }),
        Ok(Err(status)) => Err(explained(plane, told(&status)).await),
        Err(_) => Err(explained(plane, format!("it did not open the stream within {OPEN_TIMEOUT:?}")).await),
    }
}

/// Why something that accepts connections is no control plane: what it is, if that can be told.
pub(super) async fn explained(plane: &Uri, reason: String) -> String {
    let Some(host) = plane.host() else { return reason };
    match weir_proto::found_at(host, plane.port_u16().unwrap_or(HTTP)).await {
        Some(found) => format!("{found} ({reason})"),
        None => reason,
    }
}

/// What a control plane says when it ends or refuses a stream.
pub(super) fn told(status: &tonic::Status) -> String {
    match status.source() {
        Some(source) => cause(source),
        None => format!("it said {:?}: {}", status.code(), status.message()),
    }
}

/// The innermost error says most: "connection refused" rather than "transport error".
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
