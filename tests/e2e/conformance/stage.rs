//! What the tables play on: one proxy with one worker, a recording backend as the service `web`, others as needed.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};
use weir_tests::{Client, Cluster, End, Head, Recorder, Response, Scripted, Wire};

/// How long a row waits for what should come at once, before it counts as never: less than any default timeout of
/// Weir's that could bring it about.
pub(super) const SOON: Duration = Duration::from_secs(4);

/// A cluster for one table.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) backend: Recorder,
    /// Where the requests go.
    pub(super) traffic: SocketAddr,
    scripted: std::cell::Cell<usize>,
    failures: Vec<String>,
}

/// How much of a bad request a backend may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not a byte.
    Nothing,
    /// A beginning, on a connection that is then cut.
    Beginning,
}

/// A backend under the test's control, and the service that it stands for.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) host: String,
    pub(super) backend: Scripted,
}

/// What a client got for bytes that it sent on a connection of its own.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) response: Response,
    /// What came after it.
    pub(super) rest: Vec<u8>,
    pub(super) end: End,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let cluster = Cluster::builder().workers(1).start().await;
        let backend = Recorder::start().await;
        cluster.api.register("web", backend.address()).await.unwrap();
        cluster.settled().await;
        let traffic = cluster.traffic();
        Self { cluster, backend, traffic, scripted: std::cell::Cell::new(0), failures: Vec::new() }
    }

    /// Another service, for the host that it is named after.
    pub(super) async fn part(&self) -> Part {
        let number = self.scripted.get();
        self.scripted.set(number + 1);
        let host = format!("part-{number}");
        let backend = Scripted::start().await.patience(SOON);
        self.cluster.api.register(&host, backend.address()).await.unwrap();
        self.cluster.settled().await;
        Part { host, backend }
    }

    pub(super) async fn client(&self) -> Client {
        Client { wire: self.wire().await }
    }

    pub(super) async fn wire(&self) -> Wire {
        Wire::open(self.traffic).await.unwrap().patience(SOON)
    }

    /// Notes a row that fails.
    pub(super) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            // One row, one line.
            self.failures.push(what().replace('\r', "\\r").replace('\n', "\\n"));
        }
    }

    /// Fails if any row did.
    pub(super) fn end(self) {
        let (count, rows) = (self.failures.len(), self.failures.join("\n  "));
        assert!(self.failures.is_empty(), "{count} rows fail:\n  {rows}");
    }

    /// Sends bytes on a connection of their own, and reads to its end.
    pub(super) async fn send(&self, bytes: impl AsRef<[u8]>) -> Got {
        let mut client = self.client().await;
        // A proxy that has seen enough may stop reading; what it says is read all the same.
        let sent = client.wire.send(bytes).await;
        let response = client.response("GET").await.unwrap_or_default();
        let (rest, end) = client.wire.to_end().await;
        Got { response, rest, end: if sent.is_err() { End::Reset } else { end } }
    }

    /// The row: these bytes get this status and a reason, the connection ends, and no byte reaches a backend.
    pub(super) async fn refuses(&mut self, what: &str, bytes: impl AsRef<[u8]>, status: u16) {
        self.refuses_with(what, bytes, status, Reach::Nothing).await;
    }

    pub(super) async fn refuses_with(
        &mut self,
        what: &str,
        bytes: impl AsRef<[u8]>,
        status: u16,
        reach: Reach,
    ) {
        self.backend.forget();
        let got = self.send(bytes).await;
        self.check(got.is_refusal(status), || format!("{what}: {status} expected, but {}", got.told()));
        self.good(what).await;
        let strays = self.strays(reach).await;
        self.check(strays.is_empty(), || format!("{what}: the backend got {strays:?}"));
    }

    /// The row: these bytes, a complete request, are relayed. What the backend got.
    pub(super) async fn relays(&mut self, what: &str, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.backend.forget();
        let mut client = self.client().await;
        let answer = client.send("GET", bytes).await;
        let holds = answer.as_ref().is_ok_and(|response| response.text() == "ok");
        self.check(holds, || format!("{what}: not relayed, but {}", told(&answer.unwrap_or_default())));
        let complete = self.backend.complete();
        self.check(complete.len() == 1, || format!("{what}: {} requests at the backend", complete.len()));
        complete.into_iter().next().unwrap_or_default()
    }

    /// A good request of another client is answered.
    async fn good(&mut self, after: &str) {
        let answer = self.client().await.send("GET", "GET /good HTTP/1.1\r\nHost: web\r\n\r\n").await;
        let text = answer.map(|response| response.text()).unwrap_or_default();
        self.check(text == "ok", || format!("{after}: the next client got {text:?}"));
    }

    /// What reached the backend and should not have.
    async fn strays(&self, reach: Reach) -> Vec<String> {
        let mut strays = Vec::new();
        for request in self.backend.complete() {
            if !request.starts_with(b"GET /good HTTP/1.1\r\n") {
                strays.push(String::from_utf8_lossy(&request).into_owned());
            }
        }
        let beginnings = || self.backend.seen().into_iter().filter(|received| !received.rest.is_empty());
        if reach == Reach::Beginning {
            soon(async || beginnings().all(|received| received.ended)).await;
        }
        for received in beginnings().filter(|received| reach == Reach::Nothing || !received.ended) {
            strays.push(format!("{}…", String::from_utf8_lossy(&received.rest)));
        }
        strays
    }
}

impl Part {
    /// A request line, `Host`, these fields and this body.
    pub(super) fn request(&self, line: &str, fields: &str, body: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n{body}", self.host)
    }
}

impl Got {
    /// Whether this is one whole answer of ours with a reason, on a connection that ends as it should.
    pub(super) fn is_refusal(&self, status: u16) -> bool {
        let head = &self.response.head;
        self.response.status() == status
            && reason(head).is_some()
            && head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            && head.length() == Some(self.response.body.len())
            && self.rest.is_empty()
            && self.end == End::Clean
    }

    pub(super) fn told(&self) -> String {
        let rest = String::from_utf8_lossy(&self.rest);
        format!("{}, then {:?}, {:?}", told(&self.response), rest, self.end)
    }
}

/// The word for programs in an answer of ours.
pub(super) fn reason(head: &Head) -> Option<&str> {
    head.get("proxy-status")?.split("details=\"").nth(1)?.split('"').next()
}

pub(super) fn told(response: &Response) -> String {
    let (status, head) = (response.status(), &response.head);
    match (status, reason(head)) {
        (0, _) => "no answer".to_owned(),
        (_, Some(reason)) => format!("{status} ({reason}; connection: {:?})", head.get("connection")),
        (_, None) => format!("{status} of the backend"),
    }
}

/// Waits until this holds, but not for longer than [`SOON`]. Whether it does.
pub(super) async fn soon(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(2)).await;
    }
    true
}
