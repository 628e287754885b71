//! `Admin.Drain` as a transaction: after its end the backend is sent nothing, and nobody has noticed.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use weir_proto::v1::{DrainPhase, DrainProgress, OperatorState};
use weir_tests::{Backend, Behaviour, Client, Cluster, Daemons, Load, Signal, get, until};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const TIMEOUT: Duration = Duration::from_secs(15);

/// Answers at once, in pieces under `/stream`, and for as long as the client wants under `/chat`.
async fn backend(name: &str) -> Backend {
    let stream = Behaviour::Drip(10, Duration::from_millis(10));
    let rest = Behaviour::At("/chat", Box::new(Behaviour::Upgrade), Box::new(Behaviour::Name));
    Backend::with(name, Behaviour::At("/stream", Box::new(stream), Box::new(rest))).await
}

fn name(backend: &Backend) -> String {
    format!("web/{}", backend.address())
}

fn is_removed(progress: &[DrainProgress]) -> bool {
    progress.last().is_some_and(|last| last.phase() == DrainPhase::Removed)
}

/// Clients that stream and chat until they are told to stop, or something fails: with that.
struct Talk(JoinSet<io::Result<usize>>, CancellationToken);

impl Talk {
    fn start(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let (mut clients, stop) = (JoinSet::new(), CancellationToken::new());
        for address in addresses {
            for _ in 0..2 {
                let (for_stream, for_chat) = (stop.clone(), stop.clone());
                clients.spawn(until_stopped(for_stream, move || stream(address)));
                clients.spawn(until_stopped(for_chat, move || chat(address)));
            }
        }
        Self(clients, stop)
    }

    /// How many streams and chats there were.
    async fn stop(mut self) -> usize {
        self.1.cancel();
        let mut all = 0;
        while let Some(talked) = self.0.join_next().await {
            all += talked.unwrap().unwrap();
        }
        all
    }
}

async fn until_stopped<F: Future<Output = io::Result<()>>>(
    stop: CancellationToken,
    talk: impl Fn() -> F,
) -> io::Result<usize> {
    let mut talks = 0;
    while !stop.is_cancelled() {
        talk().await?;
        talks += 1;
    }
    Ok(talks)
}

async fn stream(address: SocketAddr) -> io::Result<()> {
    let response = get(address, "/stream").await?;
    let whole = response.status() == 200 && response.body == b"..........";
    if whole { Ok(()) } else { Err(io::Error::other(format!("{response:?}"))) }
}

async fn chat(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::open(address).await?;
    let response = client.send("GET", UPGRADE).await?;
    if response.status() != 101 {
        return Err(io::Error::other(format!("{response:?}")));
    }
    for _ in 0..10 {
        client.wire.send("hello").await?;
        if client.wire.exactly(5).await? != b"hello" {
            return Err(io::Error::other("another word came back"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.wire.finish().await?;
    if client.ends().await { Ok(()) } else { Err(io::Error::other("it goes on after its end")) }
}

/// With `WEIR_SOAK` 200 times.
#[tokio::test(flavor = "multi_thread")]
async fn backends_that_stop_right_after_their_drain_are_missed_by_nobody() {
    let mut backends = [backend("a").await, backend("b").await, backend("c").await, backend("d").await];
    let cluster = Cluster::builder().proxies(2).start().await;
    cluster.serve("web", &backends.each_ref()).await;
    let loads: Vec<_> = cluster.proxies.iter().map(|p| Load::start(p.traffic, 4, Duration::ZERO)).collect();
    let talk = Talk::start(cluster.proxies.iter().map(|p| p.traffic));
    let rounds = if crate::soak() { 200 } else { 20 };
    for round in 0..rounds {
        let drained = fastrand::usize(..backends.len());
        let progress = cluster.api.drain(&name(&backends[drained]), TIMEOUT).await.unwrap();
        assert!(is_removed(&progress), "{progress:?}");
        let seen = backends[drained].requests();
        // Every other one stops at once; the rest show that they could have stopped.
        if round % 2 == 0 {
            backends[drained].stop().await;
        }
        for load in &loads {
            load.progress(100).await;
        }
        assert_eq!(backends[drained].requests(), seen, "round {round}");
        if round % 2 == 0 {
            backends[drained].restart().await;
        }
        cluster.serve("web", &[&backends[drained]]).await;
    }
    for load in loads {
        assert_eq!(load.stop().await.failures, Vec::<String>::new());
    }
    let talks = talk.stop().await;
    assert!(talks >= 8, "{talks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stay_with_a_backend_do_not_follow_it_to_its_end() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let cluster = Cluster::start().await;
    let web = weir_proto::v1::Service {
        name: "web".into(),
        session_affinity: Some(weir_proto::v1::SessionAffinity::default()),
        ..Default::default()
    };
    cluster
        .apply(weir_proto::v1::Document { services: vec![web], ..weir_proto::v1::Document::default() })
        .await;
    cluster.serve("web", &[&a, &b]).await;
    let first = get(cluster.traffic(), "/").await.unwrap();
    let cookie = first.head.get("set-cookie").and_then(|c| c.split(';').next()).unwrap().to_owned();
    let (mine, other) = if first.text() == "a" { (&a, "b") } else { (&b, "a") };
    let ask = format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n");
    let (traffic, stop) = (cluster.traffic(), CancellationToken::new());
    let stopped = stop.clone();
    let client = tokio::spawn(async move {
        let mut client = Client::open(traffic).await.unwrap();
        let mut last = String::new();
        while !stopped.is_cancelled() {
            let answer = client.send("GET", &ask).await.unwrap();
            assert_eq!(answer.status(), 200);
            last = answer.text();
        }
        last
    });
    until("the client to come back", async || (mine.requests() > 10).then_some(())).await;

    let progress = cluster.api.drain(&name(mine), TIMEOUT).await.unwrap();
    assert!(is_removed(&progress), "{progress:?}");
    let seen = mine.requests();
    let elsewhere = if other == "a" { &a } else { &b };
    let before = elsewhere.requests();
    until("the client to be elsewhere", async || (elsewhere.requests() > before + 10).then_some(())).await;
    stop.cancel();
    assert_eq!((client.await.unwrap().as_str(), mine.requests()), (other, seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_the_time_is_closed_within_it() {
    let (old, new) = (backend("old").await, Backend::start("new").await);
    let forever = Behaviour::Drip(usize::MAX, Duration::from_millis(10));
    let held = Behaviour::At("/held", Box::new(Behaviour::Hold), Box::new(Behaviour::Name));
    let chat = Behaviour::At("/chat", Box::new(Behaviour::Upgrade), Box::new(held));
    old.set(Behaviour::At("/stream", Box::new(forever), Box::new(chat)));
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&old]).await;
    let traffic = cluster.traffic();
    let mut stream = Client::open(traffic).await.unwrap();
    stream.wire.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    assert!(stream.wire.head().await.unwrap().chunked());
    let mut chat = Client::open(traffic).await.unwrap();
    assert_eq!(chat.send("GET", UPGRADE).await.unwrap().status(), 101);
    let held = tokio::spawn(async move { get(traffic, "/held").await.unwrap() });
    old.has(3).await;
    cluster.serve("web", &[&new]).await;

    let (begin, within) = (Instant::now(), Duration::from_secs(3));
    let progress = cluster.api.drain(&name(&old), within).await.unwrap();
    assert!(begin.elapsed() >= within * 9 / 10, "they had their time");
    assert!(is_removed(&progress), "{progress:?}");
    for phase in [DrainPhase::Finishing, DrainPhase::Closing] {
        assert!(progress.iter().any(|p| p.phase() == phase && p.in_flight > 0), "{progress:?}");
    }
    assert_eq!(held.await.unwrap().text(), "new", "it could be sent elsewhere");
    assert!(chat.ends().await);
    let (rest, _) = stream.wire.to_end().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_taken_back_by_enabling() {
    let backend = Backend::with("a", Behaviour::Hold).await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let traffic = cluster.traffic();
    let request = tokio::spawn(async move { get(traffic, "/").await.unwrap() });
    backend.has(1).await;

    let (api, drained) = (cluster.api.clone(), name(&backend));
    let drain = tokio::spawn(async move { api.drain(&drained, TIMEOUT).await });
    until("the backend to drain", async || {
        let backends = cluster.api.backends("web").await.ok()?;
        (backends[0].operator_state() == OperatorState::Draining).then_some(())
    })
    .await;
    cluster.api.operator_state(&name(&backend), OperatorState::Enabled).await.unwrap();
    let status = drain.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    cluster.settled().await;
    backend.release(2);
    assert_eq!(request.await.unwrap().text(), "a");
    assert_eq!(get(traffic, "/").await.unwrap().text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_stopped_is_named_and_later_the_drain_ends_well() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;
    for backend in [&a, &b] {
        daemons.api.register("web", backend.address()).await.unwrap();
    }
    daemons.api.settled(2).await;
    daemons.proxies[1].signal(Signal::STOP);
    let status = daemons.api.drain(&name(&a), Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("proxy-1") && !status.message().contains("proxy-0"), "{status}");
    let drained = daemons.api.backends("web").await.unwrap();
    let drained = drained.iter().find(|backend| backend.id == a.address().to_string()).unwrap();
    assert_eq!(drained.operator_state(), OperatorState::Draining);

    daemons.proxies[1].signal(Signal::CONT);
    assert!(is_removed(&daemons.api.drain(&name(&a), TIMEOUT).await.unwrap()));
    let seen = a.requests();
    for traffic in &daemons.traffic {
        assert_eq!(get(*traffic, "/").await.unwrap().text(), "b");
    }
    assert_eq!(a.requests(), seen);
}
