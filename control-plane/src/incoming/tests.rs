//! Connections of clients that say nothing, the wrong thing, or too little for too long.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of an empty HEADERS frame: a request begins.
const HEADERS: &[u8] = &[0, 0, 0, 1, 4, 0, 0, 0, 1];

#[tokio::test]
async fn a_cut_ends_a_connection_that_says_nothing() {
    let cut = CancellationToken::new();
    let (acceptor, address) = acceptor(1, cut.clone());
    let client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    assert!(connection.io.nodelay().expect("a socket"));
    assert_eq!(connection.connect_info().0, client.local_addr().expect("connected"));

    let reading = tokio::spawn(async move { connection.read_u8().await.map_err(|e| e.kind()) });
    cut.cancel();
    let outcome = reading.await.expect("no panic");
    assert_eq!(outcome, Err(io::ErrorKind::ConnectionAborted));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_nothing_is_not_waited_for() {
    let (acceptor, address) = acceptor(2, CancellationToken::new());
    let mut client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    client.write_all(&PREFACE[..23]).await.expect("sent");
    connection.read_exact(&mut [0; 23]).await.expect("read");
    let start = Instant::now();
    let outcome = connection.read_u8().await.map_err(|e| e.kind());
    assert_eq!((outcome, start.elapsed()), (Err(io::ErrorKind::TimedOut), OPENING_TIMEOUT));

    let mut client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    client.write_all(PREFACE).await.expect("sent");
    connection.read_exact(&mut [0; PREFACE_BYTES]).await.expect("read");
    assert!(tokio::time::timeout(Duration::from_hours(1), connection.read_u8()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bounded_connection_ends_whatever_the_client_sends() {
    let (mut acceptor, address) = acceptor(1, CancellationToken::new());
    acceptor.patience = Patience::InAll(Duration::from_secs(3));
    let mut client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    let trickle = async {
        while client.write_u8(b'x').await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (start, mut sink) = (Instant::now(), Vec::new());
    let outcome = tokio::select! {
        outcome = connection.read_to_end(&mut sink) => outcome.map_err(|e| e.kind()),
        () = trickle => Ok(0),
    };
    assert_eq!((outcome, start.elapsed()), (Err(io::ErrorKind::TimedOut), Duration::from_secs(3)));
}

#[tokio::test]
async fn who_finds_no_room_is_accepted_when_somebody_leaves() {
    let (acceptor, address) = acceptor(1, CancellationToken::new());
    let _clients = (TcpStream::connect(address).await, TcpStream::connect(address).await);
    let first = acceptor.next().await;
    let mut second = Box::pin(acceptor.next());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    second.await;
}

fn acceptor(most: usize, cut: CancellationToken) -> (Acceptor, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("nonblocking");
    let address = listener.local_addr().expect("bound");
    (Acceptor::new(listener, most, Patience::Opening, cut).expect("a listener"), address)
}

/// A client that has sent these bytes, which the connection has read.
async fn connected(acceptor: &Acceptor, address: SocketAddr, bytes: &[u8]) -> (TcpStream, Connection) {
    let mut client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    client.write_all(bytes).await.expect("sent");
    connection.read_exact(&mut vec![0; bytes.len()]).await.expect("read");
    (client, connection)
}

#[tokio::test]
async fn the_longest_silent_makes_way_and_who_has_asked_stays() {
    let (acceptor, address) = acceptor(3, CancellationToken::new());
    let asked = [PREFACE, HEADERS].concat();
    let (_a, mut speaks) = connected(&acceptor, address, &asked).await;
    let (_b, mut opened) = connected(&acceptor, address, PREFACE).await;
    let (_c, mut silent) = connected(&acceptor, address, b"PRI").await;

    let _operator = TcpStream::connect(address).await.expect("connects");
    let mut next = Box::pin(acceptor.next());
    let outcome = tokio::select! {
        outcome = opened.read_u8() => outcome.map_err(|e| e.kind()),
        _ = &mut next => panic!("there is no room yet"),
    };
    assert_eq!(outcome, Err(io::ErrorKind::ConnectionAborted), "it came before the one that is silent, too");
    drop(opened);
    let _room = next.await;
    for connection in [&mut speaks, &mut silent] {
        assert!(futures_util::poll!(Box::pin(connection.read_u8())).is_pending(), "it stays");
    }
}

#[tokio::test]
async fn http_1_gets_a_sentence_and_nothing_of_http_2() {
    let (acceptor, address) = acceptor(2, CancellationToken::new());
    let mut client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    connection.write_all(b"the settings of HTTP/2").await.expect("held");
    connection.flush().await.expect("nothing to do");
    client.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let outcome = connection.read_u8().await.map_err(|e| e.kind());
    assert_eq!(outcome, Err(io::ErrorKind::InvalidData));
    drop(connection);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(answer, format!("{BAD_REQUEST}{}\n", weir_proto::GRPC_PORT));
}

#[tokio::test]
async fn what_is_said_first_is_held_until_the_client_has_opened_http_2() {
    let (acceptor, address) = acceptor(2, CancellationToken::new());
    let mut client = TcpStream::connect(address).await.expect("connects");
    let mut connection = acceptor.next().await;
    connection.write_all(b"settings").await.expect("held");
    client.write_all(PREFACE).await.expect("sent");
    connection.read_exact(&mut [0; PREFACE_BYTES]).await.expect("read");
    connection.write_all(b", more").await.expect("sent");
    let mut said = [0; 14];
    client.read_exact(&mut said).await.expect("said");
    assert_eq!(&said, b"settings, more");
}
