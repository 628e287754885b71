//! The sockets: UDP in one loop, and a bounded number of TCP connections.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Sockets,
    answer::{Outcome, Settings, Transport, answer},
    view::Source,
};
use crate::{Error, metrics::Metrics};

/// TCP connections at one time; further ones wait in the backlog until one ends.
pub(crate) const MOST_CONNECTIONS: usize = 256;
/// How long a connection may be without a complete question, and how long an answer may take to be taken.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a question. One name has 255 at most; the rest is options.
const MOST_QUESTION: usize = 4_096;
/// After a failed receive or accept, as for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// What answers.
#[derive(Debug)]
struct Server {
    source: Source,
    settings: Settings,
    metrics: Metrics,
}

/// Answers on these sockets, without an end. Dropping the future ends the connections.
pub(crate) fn serve(
    sockets: Sockets,
    source: Source,
    metrics: Metrics,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let failed = |e: io::Error| Error::Serve { server: "DNS", reason: e.to_string() };
    let udp = UdpSocket::from_std(sockets.udp).map_err(failed)?;
    let tcp = TcpListener::from_std(sockets.tcp).map_err(failed)?;
    let server = Arc::new(Server { source, settings: sockets.settings, metrics });
    Ok(async move {
        tokio::join!(datagrams(&server, &udp), connections(&server, &tcp));
    })
}

impl Server {
    /// The answer to a message, if it is to have one.
    fn answer(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let view = self.source.view();
        match answer(packet, transport, view.as_ref(), &self.settings) {
            Outcome::Answer(answer) => {
                let labels = [("type", answer.kind), ("code", answer.code)];
                self.metrics.dns_answers.get_or_create_owned(&labels).inc();
                Some(answer.bytes)
            }
            Outcome::Dropped(reason) => {
                self.metrics.dns_dropped.get_or_create_owned(&[("reason", reason)]).inc();
                None
            }
        }
    }
}

/// Each is answered before the next one is read: what comes faster than that waits in the kernel, or is lost there.
async fn datagrams(server: &Server, socket: &UdpSocket) {
    let mut buffer = vec![0; MOST_QUESTION];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "cannot receive DNS questions; trying again");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(answer) = buffer.get(..length).and_then(|packet| server.answer(packet, Transport::Udp))
        else {
            continue;
        };
        if let Err(error) = socket.send_to(&answer, peer).await {
            server.metrics.dns_dropped.get_or_create_owned(&[("reason", "not_sent")]).inc();
            tracing::debug!(%peer, %error, "cannot send a DNS answer");
        }
    }
}

async fn connections(server: &Arc<Server>, listener: &TcpListener) {
    let (room, mut open) = (Arc::new(Semaphore::new(MOST_CONNECTIONS)), JoinSet::new());
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let server = Arc::clone(server);
                open.spawn(async move {
                    let _permit = permit;
                    server.metrics.dns_connections.inc();
                    if let Err(error) = connection(&server, stream).await {
                        tracing::debug!(%peer, %error, "a DNS connection ended");
                    }
                    server.metrics.dns_connections.dec();
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a DNS connection; trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Questions and answers in turn, each after its length (RFC 1035 section 4.2.2), until the client has no more.
async fn connection(server: &Server, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut packet = Vec::new();
    while timeout(IDLE_TIMEOUT, question(&mut stream, &mut packet)).await?? {
        // What cannot be answered ends the connection: what follows it would be no more sensible.
        let Some(answer) = server.answer(&packet, Transport::Tcp) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE_TIMEOUT, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// Reads the next question; false at the end.
async fn question(stream: &mut TcpStream, packet: &mut Vec<u8>) -> io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(e) => return Err(e),
    };
    if length > MOST_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long"));
    }
    packet.resize(length, 0);
    stream.read_exact(packet).await?;
    Ok(true)
}
