//! One proxy is cut off from the control plane: it serves on from what it has, nobody else notices, and it catches up.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};
use weir_tests::{Backend, Daemons, Process, get, until};

/// What the network between one proxy and the control plane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Whole,
    /// Nothing gets through, and nobody hears of it.
    Silent,
    /// Every connection is reset, and no new one is accepted.
    Reset,
}

/// Stands between a proxy and the control plane.
struct Relay {
    address: SocketAddr,
    network: watch::Sender<Network>,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Whole);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(relay(client, to, state.clone()));
            }
        });
        Self { address, network, _tasks: tasks }
    }

    fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn relay(client: TcpStream, to: SocketAddr, mut network: watch::Receiver<Network>) {
    let reset = |stream: &TcpStream| stream.set_zero_linger();
    if *network.borrow() == Network::Reset {
        reset(&client).unwrap();
        return;
    }
    let server = TcpStream::connect(to).await.unwrap();
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        // From here on a connection that is dropped is reset.
        reset(stream).unwrap();
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (up, down) =
        (pass(from_client, to_server, network.clone()), pass(from_server, to_client, network.clone()));
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = network.wait_for(|now| *now == Network::Reset) => {}
    }
}

/// Passes bytes on for as long as the network is whole. What came before it was cut may be lost as a whole.
async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return };
        if *network.borrow_and_update() == Network::Silent {
            // A half-open connection: it stays silent for good, also when the network heals.
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// A control plane with one proxy that reaches it directly, and another through a relay.
struct Fleet {
    daemons: Daemons,
    relay: Relay,
    cut: SocketAddr,
    _proxy: Process,
    _dir: Arc<tempfile::TempDir>,
}

async fn fleet() -> Fleet {
    let daemons = Daemons::start(1).await;
    let relay = Relay::start(daemons.grpc()).await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut command = Process::command("weir-data-plane");
    command.arg("--control-plane").arg(format!("http://{}", relay.address)).arg("--data-dir").arg(dir.path());
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--id", "cut-off"]);
    let proxy = Process::spawn(command);
    let cut = proxy.address("traffic").await;
    daemons.api.settled(2).await;
    Fleet { daemons, relay, cut, _proxy: proxy, _dir: dir }
}

async fn answers(proxy: SocketAddr) -> String {
    get(proxy, "/").await.unwrap().text()
}

async fn cut_and_healed(how: Network) {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let fleet = fleet().await;
    let direct = fleet.daemons.traffic[0];
    let api = &fleet.daemons.api;
    api.register("web", old.address()).await.unwrap();
    api.settled(2).await;

    fleet.relay.set(how);
    api.register("web", new.address()).await.unwrap();
    let gone = api.deregister(&format!("web/{}", old.address())).await.unwrap().revision;
    until("the other proxy to be told", async || (answers(direct).await == "new").then_some(())).await;
    for _ in 0..100 {
        assert_eq!(answers(fleet.cut).await, "old", "it serves from what it has");
        assert_eq!(answers(direct).await, "new");
    }
    let proxies = api.proxies().await.unwrap().proxies;
    let lagging = proxies.iter().find(|proxy| proxy.id == "cut-off").unwrap();
    assert!(lagging.revision < gone, "{lagging:?}");

    fleet.relay.set(Network::Whole);
    // A half-open stream is given up after 30 s of silence at the latest.
    let healed = async || (answers(fleet.cut).await == "new").then_some(());
    for patience in 0..3 {
        if tokio::time::timeout(std::time::Duration::from_secs(19), until("it to catch up", healed))
            .await
            .is_ok()
        {
            break;
        }
        assert!(patience < 2, "it does not catch up");
    }
    api.acknowledged(gone, 2).await;
    let fleet = api.proxies().await.unwrap();
    assert!(fleet.proxies.iter().all(|proxy| proxy.digest == fleet.digest), "{fleet:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_whose_stream_is_reset_serves_on_and_catches_up() {
    cut_and_healed(Network::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_whose_stream_is_half_open_serves_on_and_catches_up() {
    cut_and_healed(Network::Silent).await;
}
