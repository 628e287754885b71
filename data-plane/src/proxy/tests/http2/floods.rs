//! Clients that make work without asking for anything: their connections end, and others notice nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::task::JoinHandle;

use super::{
    super::harness::{Backend, Proxy, web},
    client::GoodClient,
    frames::{
        CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GET, HEADERS, PING, PRIORITY,
        RST_STREAM, RawClient, SETTINGS, WINDOW_UPDATE, block, frame,
    },
};

/// Frames of a flood; a connection that takes them all has failed.
const MANY: u32 = 20_000;

/// A good client that asks all the time.
struct Beside {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<u32>,
}

impl Beside {
    async fn start(proxy: &Proxy) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut client, stopped) = (GoodClient::to(proxy).await, Arc::clone(&stop));
        let asking = tokio::spawn(async move {
            let mut answers = 0;
            while !stopped.load(Relaxed) || answers == 0 {
                assert_eq!(client.get("/").await.unwrap().status, 200);
                answers += 1;
            }
            answers
        });
        Self { stop, asking }
    }

    async fn stop(self) {
        self.stop.store(true, Relaxed);
        assert!(self.asking.await.unwrap() > 0);
    }
}

/// Sends `begin`, then the n-th part of a flood for every n, until the proxy ends the connection. The code of the end.
async fn flood(begin: &[u8], part: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let backend = Backend::named("hello").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let beside = Beside::start(&proxy).await;
    let mut client = RawClient::to(&proxy).await;
    client.send(begin).await;
    let flood: Vec<u8> = (0..MANY).flat_map(part).collect();
    // Whoever floods does not read, until all is said.
    client.send(&flood).await;
    let end = client.end().await;
    beside.stop().await;
    end
}

fn open(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(&GET))
}

#[tokio::test]
async fn of_pings() {
    assert_eq!(flood(b"", |_| frame(PING, 0, 0, &[0; 8])).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_settings() {
    assert_eq!(flood(b"", |_| frame(SETTINGS, 0, 0, b"")).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_priorities() {
    assert_eq!(flood(b"", |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_window_updates() {
    assert_eq!(flood(b"", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_unknown_frames() {
    assert_eq!(flood(b"", |_| frame(99, 0, 0, b"x")).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_empty_data() {
    assert_eq!(flood(&open(1, 0), |_| frame(DATA, 0, 1, b"")).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_continuations() {
    let begin = frame(HEADERS, END_STREAM, 1, b"");
    assert_eq!(flood(&begin, |_| frame(CONTINUATION, 0, 1, b"")).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_resets() {
    let part = |n| {
        let stream = n * 2 + 1;
        [open(stream, END_STREAM), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    };
    assert_eq!(flood(b"", part).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_resets_that_we_are_made_to_send() {
    // A window that grows by nothing is an error of its stream.
    let part = |n| {
        let stream = n * 2 + 1;
        [open(stream, END_STREAM), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    };
    assert!(flood(b"", part).await.is_some());
}

#[tokio::test]
async fn of_requests_beyond_the_limit() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = RawClient::to(&proxy).await;
    let flood: Vec<u8> = (0..MANY).flat_map(|n| open(n * 2 + 1, END_STREAM)).collect();
    client.send(&flood).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_requests_that_are_none() {
    let part = |n: u32| {
        let mut lines = GET.to_vec();
        lines.push(("connection", "close"));
        frame(HEADERS, END_STREAM | END_HEADERS, n * 2 + 1, &block(&lines))
    };
    assert_eq!(flood(b"", part).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn of_headers_that_are_too_large() {
    let large = "y".repeat(12_000);
    let part = move |n: u32| {
        let mut lines = GET.to_vec();
        lines.extend([("x", &large[..]); 1]);
        // Thrice the same, by reference to the table of the codec.
        let mut block = block(&lines);
        block.extend([0x40, 1, b'x', 100]);
        block.extend([b'z'; 100]);
        block.extend([0xbe; 200]);
        if n < 2_000 { frame(HEADERS, END_STREAM | END_HEADERS, n * 2 + 1, &block) } else { Vec::new() }
    };
    assert!(flood(b"", part).await.is_some());
}

#[tokio::test]
async fn a_header_that_unfolds_to_too_much_ends_the_connection() {
    // One long line in the table, then a byte for each time it is meant.
    let mut block = block(&GET);
    block.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    block.extend([b'y'; 4_000]);
    block.extend([0xbe; 10_000]);
    let bomb = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    assert_eq!(flood(&bomb, |_| Vec::new()).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn a_client_that_reads_much_may_update_its_windows() {
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            served.answer(&"x".repeat(32 << 20)).await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = RawClient::to(&proxy).await;
    client.get(1).await;
    let mut bytes = 0;
    loop {
        let data = client.next().await.expect("the connection goes on");
        if data.kind == DATA {
            bytes += data.rest.len();
            if data.flags & END_STREAM != 0 {
                break;
            }
            let n = u32::try_from(data.rest.len()).unwrap().to_be_bytes();
            client.send(&[frame(WINDOW_UPDATE, 0, 0, &n), frame(WINDOW_UPDATE, 0, 1, &n)].concat()).await;
        }
    }
    assert_eq!(bytes, 32 << 20);
    client.get(3).await;
    assert_eq!(client.outcome().await, Ok(200));
}
