//! A control plane that is wrong, or not ours, sends pages for ever: the proxy serves on from what it has, and its memory
//! does not grow with what comes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use prost::Message;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};
use weir_proto::{
    Digest,
    v1::{
        self,
        control_message::Message as Down,
        discovery_server::{Discovery, DiscoveryServer},
    },
};
use weir_tests::{Backend, Load, Process, get, until};

/// What the proxy may use; it takes configurations of up to a quarter of that.
const MAX_MEMORY: u64 = 160 << 20;
/// Bytes of pages that have to be sent: without a bound they would be in memory all at once.
const SENT: usize = 240 << 20;
/// Objects of one page, and the bytes of each.
const PAGE: (usize, usize) = (100, 10_000);

/// It greets each proxy with a good configuration, and then sends a snapshot without an end.
struct Endless {
    backend: SocketAddr,
    sent: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Discovery for Endless {
    type StreamStream = ReceiverStream<Result<v1::ControlMessage, Status>>;

    async fn stream(
        &self,
        mut request: Request<Streaming<v1::ProxyMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (outgoing, messages) = mpsc::channel(2);
        let (first, sent) = (good(self.backend), Arc::clone(&self.sent));
        tokio::spawn(async move { while let Ok(Some(_)) = request.get_mut().message().await {} });
        tokio::spawn(async move {
            let hand_over = async |page| {
                let message = v1::ControlMessage { message: Some(Down::SnapshotPage(page)) };
                outgoing.send(Ok(message)).await.is_ok()
            };
            hand_over(first).await;
            for index in 0.. {
                let page = page(index);
                let bytes = page.body.len();
                if !hand_over(page).await {
                    return;
                }
                sent.fetch_add(bytes, Relaxed);
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

fn object(kind: i32, name: String, body: &impl Message) -> v1::Object {
    v1::Object { kind, name, body: body.encode_to_vec().into(), level: 0 }
}

/// One service with one backend.
fn good(backend: SocketAddr) -> v1::SnapshotPage {
    let service = v1::Service { name: "web".to_owned(), ..Default::default() };
    let address = backend.to_string();
    let member = v1::Backend {
        service: "web".to_owned(),
        id: address.clone(),
        address: address.clone(),
        operator_state: v1::OperatorState::Enabled.into(),
        lease_state: v1::LeaseState::Static.into(),
        ..Default::default()
    };
    let objects = vec![object(2, "web".to_owned(), &service), object(3, format!("web/{address}"), &member)];
    let digest = objects.iter().fold(0_u64, |sum, o| {
        sum.wrapping_add(Digest::of(u8::try_from(o.kind).unwrap(), &o.name, &o.body).0)
    });
    v1::SnapshotPage {
        position: Some(v1::Position { epoch: 7, revision: 1, digest }),
        last: true,
        total_objects: objects.len() as u64,
        body: v1::SnapshotBody { objects }.encode_to_vec().into(),
        ..Default::default()
    }
}

fn page(index: u32) -> v1::SnapshotPage {
    let (objects, bytes) = PAGE;
    let object = |i| v1::Object {
        kind: 3,
        name: format!("web/{index}-{i}"),
        body: vec![b'x'; bytes].into(),
        level: 0,
    };
    v1::SnapshotPage {
        position: Some(v1::Position { epoch: 7, revision: 2, digest: 1 }),
        index,
        // As many as it likes to say, within what the proxy takes.
        total_objects: 3_000_000,
        body: v1::SnapshotBody { objects: (0..objects).map(object).collect() }.encode_to_vec().into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_serves_on_and_its_memory_stays_flat() {
    let backend = Backend::start("web").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let endless = DiscoveryServer::new(Endless { backend: backend.address(), sent: Arc::clone(&sent) });
    tokio::spawn(
        Server::builder().add_service(endless).serve_with_incoming(TcpListenerStream::new(listener)),
    );

    let mut command = Process::command("weir-data-plane");
    command.args(["--control-plane", &plane, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--workers", "1", "--max-lateness", "0s", "--max-memory", &MAX_MEMORY.to_string()]);
    let proxy = Process::spawn(command);
    let (traffic, admin) = (proxy.address("traffic").await, proxy.address("admin").await);
    until("the good configuration", async || (get(traffic, "/").await.ok()?.status() == 200).then_some(()))
        .await;

    let load = Load::start(traffic, 2, Duration::from_millis(5));
    let mut most = 0;
    until("many pages to be sent", async || {
        most = most.max(proxy.resident() << 10);
        (sent.load(Relaxed) >= SENT).then_some(())
    })
    .await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    println!("{} MiB of pages sent, {} MiB in memory at most", sent.load(Relaxed) >> 20, most >> 20);
    // Where the proxy would begin to refuse requests.
    assert!(most < MAX_MEMORY / 10 * 9, "{} MiB", most >> 20);
    let metrics = get(admin, "/metrics").await.unwrap().text();
    let counted = metrics.lines().find(|line| line.starts_with("weir_proxy_config_beyond_bounds_total "));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    proxy.line("--max-snapshot-bytes").await;
}
