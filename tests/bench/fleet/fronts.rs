//! Backends that answer: one port for the backends with the same number of all services, told apart by `Host`. They note
//! when each of them was last asked.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::clock::Noted;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// A request's head is shorter.
const MOST_HEAD: usize = 8_192;

/// They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Fronts {
    /// Where they listen.
    pub(crate) addresses: Vec<SocketAddr>,
    asked: Vec<Arc<Asked>>,
    tasks: JoinSet<()>,
}

/// When the backends of one port were last asked, by service.
type Asked = HashMap<String, Noted>;

impl Fronts {
    /// Opens that many ports for these services.
    pub(crate) async fn start(ports: usize, services: &[Arc<str>]) -> Self {
        let mut fronts = Self { addresses: Vec::new(), asked: Vec::new(), tasks: JoinSet::new() };
        for _ in 0..ports {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
            let notes = services.iter().map(|name| (name.to_string(), Noted::default()));
            let asked: Arc<Asked> = Arc::new(notes.collect());
            fronts.addresses.push(listener.local_addr().expect("bound"));
            fronts.asked.push(Arc::clone(&asked));
            fronts.tasks.spawn(accept(listener, asked));
        }
        fronts
    }

    /// When the backend of this service at this port was last asked.
    pub(crate) fn asked(&self, service: &str, address: SocketAddr) -> Option<tokio::time::Instant> {
        let port = self.addresses.iter().position(|other| *other == address)?;
        self.asked[port].get(service)?.get()
    }
}

async fn accept(listener: TcpListener, asked: Arc<Asked>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(answer(stream, Arc::clone(&asked)));
        while connections.try_join_next().is_some() {}
    }
}

/// Requests without bodies, one after the other.
async fn answer(mut stream: TcpStream, asked: Arc<Asked>) {
    let _ = stream.set_nodelay(true);
    let mut head = Vec::new();
    loop {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) if head.len() > MOST_HEAD => return,
            Ok(_) => {}
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let host = text.lines().find_map(|line| line.strip_prefix("host:")).unwrap_or_default().trim();
        if let Some(noted) = asked.get(host) {
            noted.now();
        }
        head.clear();
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}
