//! Clients that ask and take nothing, in crowds: everybody else is served as if they were not there.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weir_tests::{Backend, Behaviour, Daemons, Load, until};

/// The beginning of a connection that allows no byte of any answer: `SETTINGS_INITIAL_WINDOW_SIZE` is 0.
const SHUT: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";

/// A request for `/A` of the host `a`, in eight bytes.
const HEADERS: [u8; 8] = [0x82, 0x86, 0x44, 1, b'/', 0x41, 1, b'a'];

/// One connection with so many requests, of which nothing is read.
async fn shut(address: SocketAddr, streams: u32) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut bytes = SHUT.to_vec();
    for stream in (1..).step_by(2).take(streams as usize) {
        bytes.extend([0, 0, 8, 1, 5]);
        bytes.extend(u32::to_be_bytes(stream));
        bytes.extend(HEADERS);
    }
    // The proxy may have ended it.
    let _ = client.write_all(&bytes).await;
    client
}

/// A proxy, and what becomes of good requests while such a crowd is there.
async fn beside(daemons: &Daemons, connections: usize, streams: u32) {
    let load = Load::start(daemons.traffic[0], 8, Duration::from_millis(5));
    load.progress(50).await;
    let mut crowd = Vec::new();
    for _ in 0..connections {
        crowd.push(shut(daemons.traffic[0], streams).await);
    }
    load.progress(200).await;
    drop(crowd);
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new(), "{connections} connections of {streams} streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_whose_windows_are_shut_keep_nobody_out() {
    let backend = Backend::start("a").await;
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &["lb_policy: { round_robin: {} }"], &[backend.address()]).await;
    beside(&daemons, 12, 100).await;
    // A hundred thousand requests at once are for a machine that has nothing else to do.
    let streams = if std::env::var_os("WEIR_SOAK").is_some() { 100 } else { 10 };
    beside(&daemons, 1_000, streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_of_large_answers_keep_nobody_out() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 16 << 20, "x".repeat(16 << 20));
    let behaviour = Behaviour::at("/large", Behaviour::Raw(large), Behaviour::Name);
    let backend = Backend::with("a", behaviour).await;
    let daemons = Daemons::start(1).await;
    let breakers = "circuit_breakers: { max_requests: 20, queue_timeout: 10s, stall_grace: 100ms }";
    daemons.serve("web", &[breakers], &[backend.address()]).await;
    let load = Load::start(daemons.traffic[0], 4, Duration::from_millis(5));
    load.progress(20).await;
    let mut readers = Vec::new();
    for _ in 0..60 {
        let mut reader = TcpStream::connect(daemons.traffic[0]).await.unwrap();
        reader.write_all(b"GET /large HTTP/1.1\r\nHost: web\r\n\r\n").await.unwrap();
        readers.push(reader);
    }
    until("all of them", async || (backend.requests() >= 60).then_some(())).await;
    load.progress(100).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    // Those that have a place still get all of what they asked for, however late they begin to read.
    let mut last = readers.pop().unwrap();
    let mut all = vec![0; 16 << 20];
    last.read_exact(&mut all).await.unwrap();
}
