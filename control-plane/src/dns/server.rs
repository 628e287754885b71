//! The sockets: UDP in one loop, and a bounded number of TCP connections.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Sockets,
    answer::{Outcome, Settings, Transport, answer},
    view::Source,
};
use crate::{
    Error,
    incoming::{Quiet, QuietEntry},
    metrics::Metrics,
};

/// TCP connections at one time, if there are descriptors for as many. For one more, the one is cut that has asked nothing
/// for the longest time; if all have asked, further ones wait until one ends.
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
    most: usize,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let failed = |e: io::Error| Error::Serve { server: "DNS", reason: e.to_string() };
    let udp = UdpSocket::from_std(sockets.udp).map_err(failed)?;
    let tcp = TcpListener::from_std(sockets.tcp).map_err(failed)?;
    let server = Arc::new(Server { source, settings: sockets.settings, metrics });
    Ok(async move {
        tokio::join!(datagrams(&server, &udp), connections(&server, &tcp, most));
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
                weir_proto::seldom!(warn, %error, "cannot receive DNS questions; trying again");
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

async fn connections(server: &Arc<Server>, listener: &TcpListener, most: usize) {
    let (room, mut open) = (Arc::new(Semaphore::new(most)), JoinSet::new());
    let quiet = Arc::<Quiet>::default();
    loop {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (server, permit) = (Arc::clone(server), permit(&room, &quiet).await);
                let cut = CancellationToken::new();
                let entry = quiet.enter(cut.clone());
                open.spawn(async move {
                    let _permit = permit;
                    server.metrics.dns_connections.inc();
                    let ended = cut.run_until_cancelled(connection(&server, stream, entry)).await;
                    if let Some(Err(error)) = ended {
                        tracing::debug!(%peer, %error, "a DNS connection ended");
                    }
                    server.metrics.dns_connections.dec();
                });
            }
            Err(error) => {
                quiet.cut_longest();
                weir_proto::seldom!(warn, %error, "cannot accept a DNS connection; trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn permit(room: &Arc<Semaphore>, quiet: &Quiet) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
        return Some(permit);
    }
    quiet.cut_longest();
    Arc::clone(room).acquire_owned().await.ok()
}

/// Questions and answers in turn, each after its length (RFC 1035 section 4.2.2), until the client has no more.
async fn connection(server: &Server, mut stream: TcpStream, quiet: QuietEntry) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut packet, mut quiet) = (Vec::new(), Some(quiet));
    while timeout(IDLE_TIMEOUT, question(&mut stream, &mut packet)).await?? {
        drop(quiet.take());
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hickory_proto::{
        op::{Message, ResponseCode},
        rr::RecordType,
    };
    use tokio::time::Instant;
    use tokio_util::task::AbortOnDropHandle;

    use super::{
        super::testing::{question, settings},
        *,
    };

    struct Started {
        udp: SocketAddr,
        tcp: SocketAddr,
        metrics: Metrics,
        _server: AbortOnDropHandle<()>,
    }

    /// A server whose store is not loaded: it answers, and has nothing to say.
    fn start() -> Started {
        let tcp = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let udp = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        tcp.set_nonblocking(true).expect("nonblocking");
        udp.set_nonblocking(true).expect("nonblocking");
        let (on_udp, on_tcp) = (udp.local_addr().expect("bound"), tcp.local_addr().expect("bound"));
        let sockets = Sockets { udp, tcp, address: on_tcp, settings: settings() };
        let metrics = Metrics::default();
        let answers = serve(sockets, Source::default(), metrics.clone(), MOST_CONNECTIONS).expect("sockets");
        let task = AbortOnDropHandle::new(tokio::spawn(answers));
        Started { udp: on_udp, tcp: on_tcp, metrics, _server: task }
    }

    fn framed(message: &Message) -> Vec<u8> {
        let bytes = message.to_vec().expect("encoded");
        let length = u16::try_from(bytes.len()).expect("short");
        [&length.to_be_bytes()[..], &bytes].concat()
    }

    async fn read(stream: &mut TcpStream) -> Message {
        let mut bytes = vec![0; stream.read_u16().await.expect("a length").into()];
        stream.read_exact(&mut bytes).await.expect("a message");
        Message::from_vec(&bytes).expect("a message")
    }

    #[tokio::test]
    async fn questions_that_come_in_one_piece_or_byte_by_byte_are_answered_in_turn() {
        let server = start();
        let mut stream = TcpStream::connect(server.tcp).await.expect("it accepts");
        let questions: Vec<_> = (0..3).map(|_| question("web.svc.weir.", RecordType::A, None)).collect();
        let bytes: Vec<u8> = questions.iter().flat_map(framed).collect();
        stream.write_all(&bytes).await.expect("sent");
        for asked in &questions {
            let told = read(&mut stream).await;
            assert_eq!(told.metadata.id, asked.metadata.id);
            assert_eq!(told.metadata.response_code, ResponseCode::ServFail);
        }
        stream.set_nodelay(true).expect("a socket");
        for byte in framed(&questions[0]) {
            stream.write_u8(byte).await.expect("sent");
        }
        assert_eq!(read(&mut stream).await.metadata.id, questions[0].metadata.id);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_whole_question_in_time_is_cut_off() {
        let server = start();
        let mut stream = TcpStream::connect(server.tcp).await.expect("it accepts");
        let whole = framed(&question("web.svc.weir.", RecordType::A, None));
        stream.write_all(&whole).await.expect("sent");
        read(&mut stream).await;
        let started = Instant::now();
        let trickle = async {
            for byte in whole.iter().take(20) {
                sleep(Duration::from_secs(1)).await;
                if stream.write_u8(*byte).await.is_err() {
                    break;
                }
            }
            started.elapsed()
        };
        let cut = trickle.await;
        assert!(cut >= IDLE_TIMEOUT && cut < 2 * IDLE_TIMEOUT, "{cut:?}");
    }

    #[tokio::test]
    async fn what_is_no_question_ends_its_connection_and_no_other() {
        let server = start();
        let mut other = TcpStream::connect(server.tcp).await.expect("it accepts");
        for junk in [&b"\xff\xff"[..], b"\x00\x00", b"\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut stream = TcpStream::connect(server.tcp).await.expect("it accepts");
            stream.write_all(junk).await.expect("sent");
            let read = stream.read_u8().await.map_err(|e| e.kind());
            assert!(read.is_err(), "{junk:?}: {read:?}");
        }
        other.write_all(&framed(&question("weir.", RecordType::SOA, None))).await.expect("sent");
        read(&mut other).await;
    }

    #[tokio::test]
    async fn who_finds_no_room_is_answered_when_somebody_leaves() {
        let server = start();
        let asked = framed(&question("weir.", RecordType::SOA, None));
        let mut open = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            let mut stream = TcpStream::connect(server.tcp).await.expect("it accepts");
            stream.write_all(&asked).await.expect("sent");
            read(&mut stream).await;
            open.push(stream);
        }
        assert_eq!(server.metrics.dns_connections.get(), i64::try_from(MOST_CONNECTIONS).expect("few"));
        let mut waiting = TcpStream::connect(server.tcp).await.expect("the backlog takes it");
        waiting.write_all(&asked).await.expect("sent");
        // All that was asked before is answered, so this would be, too, if there were room.
        let mut more = open.pop().expect("some");
        more.write_all(&asked).await.expect("sent");
        read(&mut more).await;
        assert!(waiting.try_read(&mut [0]).is_err(), "no answer yet");
        drop(more);
        read(&mut waiting).await;
    }

    #[tokio::test]
    async fn clients_that_ask_nothing_keep_nobody_out() {
        let server = start();
        let mut silent = Vec::new();
        for _ in 0..=MOST_CONNECTIONS {
            silent.push(TcpStream::connect(server.tcp).await.expect("the backlog takes it"));
        }
        let mut client = TcpStream::connect(server.tcp).await.expect("the backlog takes it");
        client.write_all(&framed(&question("weir.", RecordType::SOA, None))).await.expect("sent");
        let begun = tokio::time::Instant::now();
        read(&mut client).await;
        assert!(begun.elapsed() < IDLE_TIMEOUT / 2, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn datagrams_that_are_no_questions_are_dropped_and_counted() {
        let server = start();
        let client = UdpSocket::bind(("127.0.0.1", 0)).await.expect("a free port");
        client.connect(server.udp).await.expect("an address");
        let good = question("web.svc.weir.", RecordType::A, None).to_vec().expect("encoded");
        let mut answer = good.clone();
        answer[2] |= 0x80;
        for junk in [&b""[..], b"x", &good[..11], &answer, &[0xff; 2000]] {
            client.send(junk).await.expect("sent");
        }
        client.send(&good).await.expect("sent");
        let mut bytes = [0; 512];
        let length = client.recv(&mut bytes).await.expect("an answer");
        let told = Message::from_vec(&bytes[..length]).expect("a message");
        assert_eq!(bytes[..2], good[..2], "the first answer is that to the question");
        assert_eq!(told.metadata.response_code, ResponseCode::ServFail);
        let count = |reason| server.metrics.dns_dropped.get_or_create_owned(&[("reason", reason)]).get();
        assert_eq!((count("malformed"), count("response")), (3, 2));
        let labels = [("type", "A"), ("code", "SERVFAIL")];
        assert_eq!(server.metrics.dns_answers.get_or_create_owned(&labels).get(), 1);
    }
}
