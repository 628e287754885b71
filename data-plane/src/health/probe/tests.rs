//! Probes over real sockets, to backends that do as scripted.

mod grpc;
mod hostile;
mod http1;
mod http2;
mod tls;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Duration,
};
use tokio_util::task::AbortOnDropHandle;
use weir_proto::{HealthCheck, HttpProbe, Probe, ServiceProtocol};

use super::{Outcome, Question};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Long enough for every machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// To backends of HTTP/1 in the clear.
fn question(probe: Probe) -> Question {
    let check = HealthCheck { timeout: PATIENCE, ..HealthCheck::with_defaults(probe) };
    Question { check, protocol: ServiceProtocol::Http1, tls: None, here: Arc::default() }
}

fn http(change: impl FnOnce(&mut HttpProbe)) -> Question {
    let mut probe = HttpProbe::default();
    change(&mut probe);
    question(Probe::Http(probe))
}

fn over_http2(question: Question) -> Question {
    Question { protocol: ServiceProtocol::Http2, ..question }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed(reason.to_owned())
}

/// A backend that does as scripted with each connection.
pub(in crate::health) struct Backend {
    pub(in crate::health) address: SocketAddr,
    /// The heads of all requests so far.
    pub(in crate::health) heads: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Backend {
    pub(in crate::health) async fn scripted<F>(
        script: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let for_task = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script(stream, Arc::clone(&for_task)));
            }
        });
        Self { address, heads, _task: AbortOnDropHandle::new(task) }
    }

    /// Answers every request with these bytes, and waits until the other side ends the connection.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::scripted(move |mut stream, heads| {
            let answer = Arc::clone(&answer);
            async move {
                let head = head(&mut stream).await;
                heads.lock().unwrap().push(head);
                // The other side may have heard enough.
                let _ = stream.write_all(&answer).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await
    }

    /// The same, and closes the connection after the answer.
    async fn closing(answer: &'static str) -> Self {
        Self::scripted(move |mut stream, _| async move {
            head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await
    }

    /// Takes connections and says nothing.
    pub(in crate::health) async fn silent() -> Self {
        Self::answering("").await
    }
}

/// What is read until the end of a request's head.
pub(in crate::health) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// An address that refuses connections.
fn refusing() -> SocketAddr {
    crate::testing::port()
}

#[tokio::test]
async fn a_connection_is_enough_where_no_more_is_asked() {
    let backend = Backend::silent().await;
    assert_eq!(question(Probe::Tcp).ask(backend.address).await, Outcome::Passed);
    assert_eq!(question(Probe::Tcp).ask(refusing()).await, failed("connection refused"));
}

#[tokio::test]
async fn another_port_may_answer_for_the_backend() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let mut question = http(|_| ());
    question.check.port = Some(backend.address.port());
    let refusing = refusing();
    assert_eq!(question.ask(refusing).await, Outcome::Passed);
    let heads = backend.heads.lock().unwrap().join("");
    assert!(heads.contains(&format!("\r\nhost: {refusing}\r\n")), "it is asked as the backend: {heads}");
}

#[test]
fn what_this_proxy_lacks_is_not_the_backends_fault() {
    let lack = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    assert!(matches!(Outcome::from(super::Fault::from(lack)), Outcome::Skipped(_)));
    let long = super::Fault::backend("ü".repeat(200));
    assert_eq!(Outcome::from(long), failed(&"ü".repeat(100)), "reasons are bounded");
}
