//! Clients of the control plane that are wrong, slow or hostile: each is refused or cut, and nobody else notices.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use weir_proto::v1::{self, proxy_message::Message as Up};
use weir_tests::{Api, Backend, Daemons, get};

/// What the control plane may grow by, in KiB, whatever is done to it.
const MOST_GROWTH: u64 = 48 << 10;
/// How long a connection may take to be cut: the limits are 10 to 20 s.
const BOUND: Duration = Duration::from_mins(1);

/// Everything as it should be while others misbehave: calls are answered, the proxy's stream stands and requests too.
async fn all_is_well(daemons: &Daemons) {
    let api = Api::at(daemons.grpc());
    api.status().await.unwrap();
    let fleet = daemons.api.proxies().await.unwrap();
    assert!(fleet.proxies.iter().all(|proxy| proxy.connected), "{fleet:?}");
    assert_eq!(get(daemons.traffic[0], "/").await.unwrap().text(), "web");
}

async fn stage() -> (Daemons, Backend) {
    let (backend, daemons) = (Backend::start("web").await, Daemons::start(1).await);
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    (daemons, backend)
}

/// Ends when the other side has closed the connection. What it sent until then.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = timeout(BOUND, stream.read_to_end(&mut said)).await.expect("it is cut");
    said
}

/// A connection that has opened HTTP/2 and sent these bytes; more are sent for as long as they are taken.
async fn raw(to: SocketAddr, bytes: &[u8], again: usize) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    for _ in 0..again {
        if !matches!(timeout(Duration::from_secs(5), stream.write_all(bytes)).await, Ok(Ok(()))) {
            break;
        }
    }
    stream
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_or_malformed_are_refused_one_by_one() {
    let (daemons, _backend) = stage().await;
    let before = daemons.control_plane.resident();
    for _ in 0..20 {
        let backend = v1::Backend { service: "x".repeat(3 << 20), ..Default::default() };
        let request = v1::RegisterRequest { backend: Some(backend), ..Default::default() };
        let refusal = daemons.api.registry.clone().register(request).await.unwrap_err();
        assert!(matches!(refusal.code(), Code::ResourceExhausted | Code::OutOfRange), "{refusal}");
    }
    for method in ["weir.v1.Registry/Register", "weir.v1.Admin/Apply"] {
        // Bytes that are no message; a length that does not come; a flag that nobody knows.
        for body in [&[0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0, 0, 40, 1], &[9, 0, 0, 0, 0]] {
            let status = unary(daemons.grpc(), method, body).await;
            assert!(status.is_some_and(|status| status != 0), "{method} {body:?}: {status:?}");
        }
    }
    assert_eq!(unary(daemons.grpc(), "weir.v1.Registry/Nothing", &[]).await, Some(12), "UNIMPLEMENTED");
    all_is_well(&daemons).await;
    let growth = daemons.control_plane.resident().saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth} KiB");
}

/// The gRPC status of a call with these bytes as its body.
async fn unary(to: SocketAddr, method: &str, body: &[u8]) -> Option<u32> {
    let (client, connection) = h2::client::handshake(TcpStream::connect(to).await.unwrap()).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{to}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut client = client.ready().await.unwrap();
    let (answer, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
    sending.send_data(bytes::Bytes::copy_from_slice(body), true).unwrap();
    let answer = timeout(BOUND, answer).await.expect("an answer").unwrap();
    let code = |fields: &http::HeaderMap| fields.get("grpc-status")?.to_str().ok()?.parse().ok();
    if let Some(code) = code(answer.headers()) {
        return Some(code);
    }
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        drop(data);
    }
    let trailers = body.trailers().await.unwrap()?;
    connection.abort();
    code(&trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_no_http_2_end_their_connection() {
    let (daemons, _backend) = stage().await;
    for bytes in [
        // A frame longer than allowed, DATA of no stream, an odd SETTINGS, a window that overflows, HPACK that is none.
        frame(0, 0, 1, &vec![0; 20_000]),
        frame(0, 0, 0, b"data"),
        frame(4, 0, 0, b"odd"),
        frame(8, 0, 0, &u32::MAX.to_be_bytes()),
        frame(1, 4, 1, &[0xff; 40]),
    ] {
        closed(raw(daemons.grpc(), &bytes, 1).await).await;
    }
    let mut http1 = TcpStream::connect(daemons.grpc()).await.unwrap();
    http1.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    closed(http1).await;
    all_is_well(&daemons).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_never_read_cost_little() {
    let (daemons, _backend) = stage().await;
    // Much to send: 16 MiB.
    for n in 0..16 {
        let metadata = (0..64)
            .map(|i| (format!("k{i}"), "v".repeat(1_000)))
            .collect::<std::collections::HashMap<_, _>>();
        let backends = (0..16).map(|i| v1::Backend {
            service: "big".to_owned(),
            address: format!("10.0.{n}.{i}:80"),
            metadata: metadata.clone().into_iter().collect(),
            ..Default::default()
        });
        let document = v1::Document {
            services: vec![v1::Service { name: "big".to_owned(), ..Default::default() }],
            routes: vec![v1::Route {
                services: vec![v1::WeightedService { name: "web".to_owned(), weight: None }],
                ..Default::default()
            }],
            backends: backends.collect(),
            ..Default::default()
        };
        daemons.api.apply(document).await.unwrap();
    }
    daemons.api.settled(1).await;
    let before = daemons.control_plane.resident();
    let mut deaf = Vec::new();
    for n in 0..20 {
        let (up, messages) = mpsc::channel(4);
        let hello = v1::Hello { proxy_id: format!("deaf-{n}"), level: 3, ..Default::default() };
        up.send(v1::ProxyMessage { message: Some(Up::Hello(hello)) }).await.unwrap();
        // A connection of its own, of which nobody reads what comes.
        let mut discovery = Api::at(daemons.grpc()).discovery;
        let down = discovery.stream(Request::new(ReceiverStream::new(messages))).await.unwrap().into_inner();
        deaf.push((up, down));
    }
    all_is_well(&daemons).await;
    daemons.api.register("web", "10.9.9.9:80".parse().unwrap()).await.unwrap();
    daemons.api.deregister("web/10.9.9.9:80").await.unwrap();
    let growth = daemons.control_plane.resident().saturating_sub(before);
    println!("20 proxies that read nothing: {growth} KiB");
    assert!(growth < 2 * MOST_GROWTH, "{growth} KiB");
    // That each is let go after two pings without an answer, tests with a stopped clock show.
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_streams_and_pings_harm_nobody_else() {
    let (daemons, _backend) = stage().await;
    let before = daemons.control_plane.resident();
    // Streams that are opened and reset at once: a HEADERS frame and RST_STREAM for each.
    let mut resets = Vec::new();
    for n in 0..10_000_u32 {
        resets.extend(frame(1, 5, 2 * n + 1, &[0x83, 0x86, 0x84, 0x41, 0x01, b'x']));
        resets.extend(frame(3, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    let flood = raw(daemons.grpc(), &resets, 1).await;
    let said = closed(flood).await;
    assert!(goes_away(&said), "rapid reset is answered with GOAWAY");
    all_is_well(&daemons).await;

    // PING, SETTINGS and PRIORITY.
    for (kind, stream, body) in [(6, 0, &[0; 8][..]), (4, 0, &[]), (2, 1, &[0; 5])] {
        let flood = raw(daemons.grpc(), &frame(kind, 0, stream, body).repeat(1_000), 100).await;
        closed(flood).await;
        all_is_well(&daemons).await;
    }
    let growth = daemons.control_plane.resident().saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth} KiB");
}

/// Whether there is a GOAWAY among these frames.
fn goes_away(mut frames: &[u8]) -> bool {
    while let Some((head, rest)) = frames.split_at_checked(9) {
        if head[3] == 7 {
            return true;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        frames = rest.get(length..).unwrap_or_default();
    }
    false
}
