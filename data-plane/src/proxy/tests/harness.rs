//! A proxy of two workers, clients that say exactly what they are told, and backends that do as scripted.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{self, Duration},
};
use weir_proto::{
    Backend as BackendForm, BackendId, BackendKey, Digest, Epoch, LeaseState, Limits, OperatorState, ProxyId,
    Revision, Route, Service, ServiceName,
};

use crate::{
    access_log::AccessLog,
    counters::ServiceCounters,
    endpoint::Endpoint,
    headers::Pseudonym,
    listener,
    objects::Position,
    reason::Reason,
    router::Router,
    table::{ServiceEntry, SharedTable, Table},
    worker::{Terms, Workers},
};

/// No step of a test takes longer; one that does has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const LOCALHOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    time::timeout(PATIENCE, future).await.expect("a step of the test took too long")
}

/// Waits for what other threads bring about.
pub(super) async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The id of a proxy that is not called otherwise.
const ID: &str = "proxy-1";

/// What such a proxy puts into `Via`.
pub(super) fn via() -> String {
    format!("1.1 {}", Pseudonym::of(&ProxyId::try_from(ID).unwrap()).name())
}

pub(super) struct Proxy {
    pub(super) workers: Workers,
    pub(super) table: Arc<SharedTable>,
    pub(super) address: SocketAddr,
}

impl Proxy {
    /// Without a table.
    pub(super) async fn bare(limits: Limits, log: Option<&AccessLog>) -> Self {
        Self::called(ID, limits, log).await
    }

    /// One whose id is not `ID`, without a table.
    pub(super) async fn called(id: &str, limits: Limits, log: Option<&AccessLog>) -> Self {
        let id = ProxyId::try_from(id).unwrap();
        let table = Arc::new(ArcSwapOption::empty());
        let workers = Workers::start(2, &id, &table, log, &crate::admission::Shed::none()).unwrap();
        let sockets = listener::bind(LOCALHOST, 2).unwrap();
        let address = sockets[0].local_addr().unwrap();
        workers.open(address, &Terms::plain("test", limits), sockets).await;
        Self { workers, table, address }
    }

    pub(super) async fn of(services: Vec<Arc<ServiceEntry>>) -> Self {
        Self::limited(services, Limits::default()).await
    }

    pub(super) async fn limited(services: Vec<Arc<ServiceEntry>>, limits: Limits) -> Self {
        let proxy = Self::bare(limits, None).await;
        proxy.serve(services, &[]);
        proxy
    }

    pub(super) fn serve(&self, services: Vec<Arc<ServiceEntry>>, routes: &[Route]) {
        let position = Position { epoch: Epoch(1), revision: Revision(1), digest: Digest::default() };
        let services = services.into_iter().map(|entry| (entry.service.name.clone(), entry)).collect();
        let compiled = Arc::new(Router::compile(routes, None));
        let table = Table { position, router: compiled, services, departed: Vec::new() };
        self.table.store(Some(Arc::new(table)));
    }

    pub(super) async fn client(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }

    /// One request on a connection of its own.
    pub(super) async fn ask(&self, request: &str) -> Response {
        self.client().await.ask(request).await
    }
}

/// A service by default settings but for what `change` does.
pub(super) fn service(
    name: &str,
    backends: &[SocketAddr],
    change: impl FnOnce(&mut Service),
) -> Arc<ServiceEntry> {
    let mut service = Service::with_defaults(ServiceName::try_from(name).unwrap());
    change(&mut service);
    entry(Arc::new(service), backends, None)
}

/// The service as it is in the next table, where it has these backends.
pub(super) fn with_backends(before: &ServiceEntry, backends: &[SocketAddr]) -> Arc<ServiceEntry> {
    entry(Arc::clone(&before.service), backends, Some(before))
}

fn entry(service: Arc<Service>, backends: &[SocketAddr], before: Option<&ServiceEntry>) -> Arc<ServiceEntry> {
    let backend = |address: &SocketAddr| {
        let id = BackendId::try_from(address.to_string().as_str()).unwrap();
        Arc::new(BackendForm {
            key: BackendKey { service: service.name.clone(), id },
            address: *address,
            weight: 1,
            zone: String::new(),
            metadata: BTreeMap::new(),
            operator_state: OperatorState::Enabled,
            lease_state: LeaseState::Static,
            priority: 0,
            operator_weight: None,
        })
    };
    let backends: Vec<_> = backends.iter().map(backend).collect();
    Arc::new(ServiceEntry::new(service, None, backends, before, &Arc::default()))
}

/// Lets a service retry as often as its policy says, almost at once, and never eject anybody.
pub(super) fn eager(service: &mut Service) {
    let pause = Duration::from_millis(1);
    let policy = &mut service.retry_policy;
    (policy.base_interval, policy.max_interval, policy.min_retries_per_second) = (pause, pause, 1_000_000);
    service.outlier_detection.disabled = true;
}

pub(super) fn web(backends: &[SocketAddr]) -> Arc<ServiceEntry> {
    service("web", backends, |_| {})
}

/// The live state of a service's backend.
pub(super) fn endpoint(service: &ServiceEntry, address: SocketAddr) -> Arc<Endpoint> {
    let member = service.members.values().find(|member| member.endpoint.address() == address);
    Arc::clone(&member.unwrap().endpoint)
}

/// How many requests of a service have ended for this reason.
pub(super) fn ended(counters: &ServiceCounters, reason: Reason) -> u64 {
    counters.sum().reasons[reason as usize]
}

pub(super) struct Client(pub(super) BufReader<TcpStream>);

#[derive(Debug)]
pub(super) struct Response {
    pub(super) head: String,
    pub(super) body: String,
}

impl Response {
    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The value of a field, if it is there.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The status, and the reason in our own answers.
    pub(super) fn outcome(&self) -> (u16, &str) {
        (self.status(), self.body.rsplit(['(', ')']).nth(1).unwrap_or(""))
    }
}

/// The value of a field in a head, if it is there.
pub(super) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn content_length(head: &str) -> usize {
    field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

impl Client {
    pub(super) async fn send(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    pub(super) async fn ask(&mut self, request: &str) -> Response {
        self.send(request).await;
        self.response().await
    }

    /// The next response, with its body by `Content-Length`.
    pub(super) async fn response(&mut self) -> Response {
        let head = self.head().await;
        let mut response = Response { head, body: String::new() };
        let mut body = vec![0; content_length(&response.head)];
        within(self.0.read_exact(&mut body)).await.unwrap();
        response.body = String::from_utf8(body).unwrap();
        response
    }

    pub(super) async fn head(&mut self) -> String {
        within(read_head(&mut self.0)).await.expect("the proxy closed the connection before a response")
    }

    /// The next bytes.
    pub(super) async fn bytes(&mut self, n: usize) -> String {
        let mut bytes = vec![0; n];
        within(self.0.read_exact(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// All that comes until the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        within(self.0.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    Some(head)
}

/// A backend that does as scripted for each connection.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    /// The heads of all requests so far.
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// One connection at a backend.
pub(super) struct Served {
    pub(super) stream: BufReader<TcpStream>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Served {
    /// The next request's head; None when the proxy has closed the connection.
    pub(super) async fn head(&mut self) -> Option<String> {
        let head = read_head(&mut self.stream).await?;
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// The next request with its body, without what frames that; None when the proxy has closed the connection.
    pub(super) async fn message(&mut self) -> Option<(String, String)> {
        let head = self.head().await?;
        let mut body = vec![0; content_length(&head)];
        if field(&head, "transfer-encoding").is_none() {
            self.stream.read_exact(&mut body).await.ok()?;
            return Some((head, String::from_utf8(body).unwrap()));
        }
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size).await.ok()?;
            let (begin, size) = (body.len(), usize::from_str_radix(size.trim(), 16).ok()?);
            // The end of the line that follows is cut off.
            body.resize(begin + size + 2, 0);
            self.stream.read_exact(&mut body[begin..]).await.ok()?;
            body.truncate(begin + size);
            if size == 0 {
                return Some((head, String::from_utf8(body).unwrap()));
            }
        }
    }

    pub(super) async fn send(&mut self, text: &str) {
        // The proxy may have gone, which is for the test to notice.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    pub(super) async fn answer(&mut self, body: &str) {
        self.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    }

    pub(super) async fn bytes(&mut self, n: usize) -> String {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(super) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

impl Backend {
    pub(super) async fn scripted<F>(script: impl Fn(Served) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(LOCALHOST).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (for_task, count) = (Arc::clone(&heads), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                tokio::spawn(script(Served { stream: BufReader::new(stream), heads: Arc::clone(&for_task) }));
            }
        });
        Self { address, heads, connections, task }
    }

    /// Answers every request that has no body with its name.
    pub(super) async fn named(name: &'static str) -> Self {
        Self::scripted(move |mut served| async move {
            while served.head().await.is_some() {
                served.answer(name).await;
            }
        })
        .await
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that refuses connections.
pub(super) fn refusing() -> SocketAddr {
    crate::testing::port()
}
