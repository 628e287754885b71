//! Clients of others that speak HTTP/2: nghttp and h2load of nghttp2, and curl.

use std::process::Output;

use tokio::process::Command;
use weir_tests::{Backend, Behaviour, Client, Cluster, Daemons, Scripted, Wire, get, until};

/// What comes before and after a response, and what a request becomes on its way to HTTP/1.
#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_and_trailers_arrive_and_cookies_are_joined() {
    let (cluster, backend) = (Cluster::start().await, Scripted::start().await);
    cluster.api.register("web", backend.address()).await.unwrap();
    cluster.settled().await;
    let answer = async {
        let mut wire = backend.accept().await.unwrap();
        let head = wire.head().await.unwrap();
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await.unwrap();
        wire.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
        )
        .await
        .unwrap();
        head
    };
    let cookies = ["-H", "cookie: a=1", "-H", "cookie: b=2", "-H", "te: trailers"];
    let url = format!("http://{}/hello", cluster.traffic());
    let mut nghttp = Command::new("nghttp");
    nghttp.args(["-nv", "--no-dep", "--timeout=20", "-H", ":authority: web"]).args(cookies).arg(url);
    let (head, output) = tokio::join!(answer, ran(nghttp));

    let text = told(&output);
    let lines =
        |wanted: &str| text.lines().filter(|line| line.contains(") ") && line.ends_with(wanted)).count();
    for (line, count) in [
        (":status: 103", 1),
        ("link: </a.css>; rel=preload", 1),
        (":status: 200", 1),
        ("set-cookie: a=1", 1),
        ("set-cookie: b=2", 1),
        ("x-sum: 42", 1),
    ] {
        assert_eq!(lines(line), count, "{line}: {text}");
    }
    assert!(!text.contains("transfer-encoding"), "{text}");
    assert_eq!(head.start(), "GET /hello HTTP/1.1");
    assert_eq!(head.all("host"), ["web"], "{head:?}");
    assert_eq!(head.all("cookie"), ["a=1; b=2"], "{head:?}");
    assert!(!head.raw.contains("\r\n:"), "{head:?}");
}

/// A frame's bytes: RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(rest.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// The next frame of a kind: its stream, and what is in it.
async fn next(wire: &mut Wire, wanted: u8) -> (u32, Vec<u8>) {
    loop {
        let head = wire.exactly(9).await.unwrap();
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        let rest = wire.exactly(number(&head[..3]) as usize).await.unwrap();
        if head[3] == wanted {
            return (number(&head[5..]), rest);
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// By numbers of the codec's own table: POST or GET, http, `/`, and `:authority: web`.
const POST: &[u8] = b"\x83\x86\x84\x01\x03web";

/// RFC 9113 section 8.1: trailers have none. The other request on the connection is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_pseudo_field_in_trailers_resets_the_stream_and_no_other() {
    let backend = Backend::start("a").await;
    backend.record();
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut client = Wire::open(cluster.traffic()).await.unwrap();
    let good = [frame(HEADERS, END_HEADERS, 3, POST), frame(DATA, END_STREAM, 3, b"ab")];
    let bad = [
        frame(HEADERS, END_HEADERS, 1, POST),
        frame(DATA, 0, 1, b"ab"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82"),
    ];
    client
        .send([PREFACE, &frame(SETTINGS, 0, 0, b""), &bad.concat(), &good.concat()].concat())
        .await
        .unwrap();
    let (stream, code) = next(&mut client, RST_STREAM).await;
    assert_eq!((stream, &code[..]), (1, &[0, 0, 0, 1][..]));
    assert_eq!(next(&mut client, HEADERS).await.0, 3);
    assert_eq!(backend.recorded().len(), 1);
}

/// Each ping asks for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_pings_without_end_is_left() {
    let (scripted, good) = (Scripted::start().await, Backend::start("good").await);
    let daemons = Daemons::start(1).await;
    daemons
        .serve("web", &["protocol: http2", "retry_policy: { num_retries: 0 }"], &[scripted.address()])
        .await;
    daemons.api.register("other", good.address()).await.unwrap();
    let flood = async {
        let mut wire = scripted.accept().await.unwrap();
        wire.exactly(PREFACE.len()).await.unwrap();
        let (stream, _) = next(&mut wire, HEADERS).await;
        let answer = frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x88");
        let pings = frame(PING, 0, 0, &[7; 8]).repeat(200_000);
        // It is cut off in the middle.
        let _ = wire.send([frame(SETTINGS, 0, 0, b""), pings, answer].concat()).await;
    };
    let (answer, ()) = tokio::join!(get(daemons.traffic[0], "/"), flood);
    let answer = answer.unwrap();
    assert!(answer.status() == 502 && answer.text().contains("backend_reset"), "{}", answer.text());
    until("the other service to be there", async || {
        let mut client = Client::open(daemons.traffic[0]).await.ok()?;
        let answer = client.send("GET", "GET / HTTP/1.1\r\nHost: other\r\n\r\n").await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_request_is_given_up_at_the_backend() {
    let backend = Backend::with("a", Behaviour::Hang).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http2-prior-knowledge", "--max-time", "2"])
        .arg(format!("http://{}/", cluster.traffic()));
    let output = ran(curl).await;
    assert_eq!(output.status.code(), Some(28), "{}", told(&output));
    until("the backend to see it", async || (backend.given_up() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_sees_no_failure() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b]).await;
    let url = format!("http://{}/", cluster.traffic());
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), vec![b'x'; 20_000]).unwrap();
    let body = body.path().to_str().unwrap();
    for (options, requests) in [
        (&["-c", "1", "-m", "100"][..], 5_000),
        (&["-c", "20", "-m", "10"], 5_000),
        (&["-c", "5", "-m", "10", "-d", body], 1_000),
        (&["-c", "20", "-m", "1", "--h1"], 2_000),
    ] {
        let mut h2load = Command::new("h2load");
        h2load.args(["-n", &requests.to_string(), "-T", "20"]).args(options).arg(&url);
        let text = told(&ran(h2load).await);
        assert!(text.contains(&format!(" {requests} succeeded, 0 failed, 0 errored, 0 timeout")), "{text}");
        assert!(text.contains(&format!("status codes: {requests} 2xx")), "{text}");
    }
    assert_eq!(a.requests() + b.requests(), 13_000);
}

async fn ran(mut command: Command) -> Output {
    let name = command.as_std().get_program().to_owned();
    command.kill_on_drop(true);
    command.output().await.unwrap_or_else(|e| panic!("{}: {e}; ./tests/run installs it", name.display()))
}

fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {out} {err}", output.status)
}
