//! A backend that keeps every byte that reaches it, and answers each complete request with 200 and `ok`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A server on a loopback port. It ends when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

/// What came over one connection.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// The complete requests, byte for byte.
    pub complete: Vec<Vec<u8>>,
    /// What came after them.
    pub rest: Vec<u8>,
    /// Whether the proxy has ended the connection.
    pub ended: bool,
}

impl Recorder {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, seen.clone()));
        Self { address, seen, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far, over each connection since the last [`Recorder::forget`].
    #[must_use]
    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Every complete request so far, those of one connection in their order.
    #[must_use]
    pub fn complete(&self) -> Vec<Vec<u8>> {
        self.seen().into_iter().flat_map(|received| received.complete).collect()
    }

    /// Forgets what came so far, so that what comes from now on stands alone.
    pub fn forget(&self) {
        for received in self.seen.lock().expect("not poisoned").iter_mut() {
            *received = Received { ended: received.ended, ..Received::default() };
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Received>>>) {
    // Ends with this task, and the connections with it.
    let mut connections = JoinSet::new();
    for index in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        seen.lock().expect("not poisoned").push(Received::default());
        connections.spawn(connection(stream, seen.clone(), index));
    }
}

async fn connection(mut stream: TcpStream, seen: Arc<Mutex<Vec<Received>>>, index: usize) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut piece).await.unwrap_or_default();
        let answers = {
            let mut seen = seen.lock().expect("not poisoned");
            let received = &mut seen[index];
            received.ended = length == 0;
            received.rest.extend_from_slice(&piece[..length]);
            let before = received.complete.len();
            while let Some(end) = end_of_request(&received.rest) {
                let rest = received.rest.split_off(end);
                let request = std::mem::replace(&mut received.rest, rest);
                received.complete.push(request);
            }
            received.complete[before..].iter().map(|request| answer(request)).collect::<String>()
        };
        if length == 0 || stream.write_all(answers.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(request: &[u8]) -> String {
    let body = if request.starts_with(b"HEAD ") { "" } else { "ok" };
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}")
}

/// Where the first request ends, if it is complete: by the letter, since what a proxy sends has no need for leniency.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let body = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..body]).to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("transfer-encoding:") == Some("chunked") {
        return Some(body + end_of_chunks(&bytes[body..])?);
    }
    let end = body + field("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0);
    (bytes.len() >= end).then_some(end)
}

fn end_of_chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let digits = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let length = usize::from_str_radix(digits.split(';').next()?, 16).ok()?;
        if length == 0 {
            let trailers = &bytes[at + line..];
            // From the line break of the last chunk on, so that no trailers look like the end of some.
            return Some(at + line + find(trailers, b"\r\n\r\n")? + 4);
        }
        at += line + 2 + length + 2;
        bytes.get(at..)?;
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
