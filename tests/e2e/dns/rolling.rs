//! Proxies are restarted one after another, and clients that find them by DNS notice nothing.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use weir_tests::{Api, Backend, Port, Process, Signal, get, until};

use super::stub::{Stub, proxies};

/// How long answers hold, and how much longer than that a proxy goes on accepting. 5 s and 10 s by default.
const TTL: Duration = Duration::from_secs(1);
const LAME_DUCK: Duration = Duration::from_secs(3);
const CLIENTS: usize = 4;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request_of_clients_that_honour_the_ttl() {
    let control_plane = control_plane();
    let (grpc, dns) = (control_plane.address("grpc").await, control_plane.address("dns").await);
    let (api, backends) = (Api::at(grpc), [Backend::start("a").await, Backend::start("b").await]);
    api.answers().await;
    for backend in &backends {
        api.register("web", backend.address()).await.unwrap();
    }
    // A proxy must advertise its own.
    let ports = [(); 3].map(|()| Port::free());
    let traffic = ports.each_ref().map(Port::address);
    let mut running = Vec::new();
    for (index, address) in traffic.iter().enumerate() {
        running.push(proxy(grpc, index, *address));
    }
    for address in traffic {
        listed(dns, address, true).await;
    }

    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(dns, Arc::clone(&over)));
    }
    for (index, address) in traffic.into_iter().enumerate() {
        let told = Instant::now();
        running[index].signal(Signal::TERM);
        listed(dns, address, false).await;
        assert_eq!(get(address, "/").await.unwrap().status(), 200, "it leaves the answers first");
        let status = running[index].exit().await;
        assert!(status.success(), "{}", running[index].output());
        assert!(told.elapsed() >= LAME_DUCK);
        running[index] = proxy(grpc, index, address);
        listed(dns, address, true).await;
    }
    over.store(true, Relaxed);

    let mut answered: HashMap<SocketAddr, usize> = HashMap::new();
    while let Some(client) = clients.join_next().await {
        let (counts, failures) = client.unwrap();
        assert_eq!(failures, Vec::<String>::new());
        for (proxy, count) in counts {
            *answered.entry(proxy).or_default() += count;
        }
    }
    assert!(traffic.iter().all(|proxy| answered.get(proxy).is_some_and(|count| *count > 20)), "{answered:?}");
}

/// A new connection for each request, to where DNS says. How many each proxy answered, and what failed.
async fn client(dns: SocketAddr, over: Arc<AtomicBool>) -> (HashMap<SocketAddr, usize>, Vec<String>) {
    let (mut stub, mut answered, mut failures) = (Stub::new(dns), HashMap::new(), Vec::new());
    while !over.load(Relaxed) {
        let proxy = stub.proxy().await;
        match get(proxy, "/").await {
            Ok(response) if response.status() == 200 => *answered.entry(proxy).or_default() += 1,
            Ok(response) => failures.push(format!("{proxy}: {}", response.status())),
            Err(error) => failures.push(format!("{proxy}: {error}")),
        }
        sleep(PAUSE).await;
    }
    (answered, failures)
}

/// Waits until DNS names the proxy, or does not.
async fn listed(dns: SocketAddr, proxy: SocketAddr, wanted: bool) {
    let what = format!("{proxy} {} the answers", if wanted { "in" } else { "out of" });
    until(&what, async || (proxies(dns).await.0.contains(&proxy) == wanted).then_some(())).await;
}

fn control_plane() -> Process {
    let mut command = Process::command("weir-control-plane");
    command.args(["--store", "memory", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--dns-ttl", &format!("{}s", TTL.as_secs())]);
    Process::spawn(command)
}

fn proxy(control_plane: SocketAddr, index: usize, traffic: SocketAddr) -> Process {
    let mut command = Process::command("weir-data-plane");
    command.arg("--control-plane").arg(format!("http://{control_plane}"));
    command.args(["--id", &format!("proxy-{index}"), "--admin", "127.0.0.1:0", "--workers", "2"]);
    command.args(["--listen", &traffic.to_string(), "--advertise", &traffic.to_string()]);
    command.args(["--lame-duck", &format!("{}s", LAME_DUCK.as_secs())]);
    Process::spawn(command)
}
