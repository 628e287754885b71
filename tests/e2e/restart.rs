//! Proxies are replaced one after the other under load, and no client notices: what a rolling upgrade is made of.

mod chooser;
mod http2;

use std::{process::Stdio, time::Duration};

use tokio::process::Command;
use weir_tests::{Backend, Daemons, End, Load, Signal, Wire, get, until};

use self::{chooser::Chooser, http2::Load2};
use crate::soak;

/// Two proxies behind a chooser, and two backends.
struct Stage {
    daemons: Daemons,
    chooser: Chooser,
    _backends: [Backend; 2],
}

/// Longer than the chooser may take to learn that a proxy is about to end, on a busy machine too.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// How often proxies are replaced, and how many requests there are at least.
fn goal() -> (usize, usize) {
    if soak() { (10, 500_000) } else { (4, 2_000) }
}

impl Stage {
    async fn start() -> Self {
        let backends = [Backend::start("a").await, Backend::start("b").await];
        let daemons = Daemons::with_lame_duck(2, LAME_DUCK).await;
        for backend in &backends {
            daemons.api.register("web", backend.address()).await.unwrap();
        }
        daemons.api.settled(2).await;
        for (index, backend) in [(0, 1), (1, 1)] {
            daemons.copied(index, backends[backend].address()).await;
        }
        let chooser = Chooser::start(daemons.traffic.clone()).await;
        Self { daemons, chooser, _backends: backends }
    }

    /// Replaces one proxy as an operator does: it is told to stop, readiness fails, the chooser learns of it, the proxy
    /// ends by itself, its successor starts.
    async fn replace(&mut self, index: usize) {
        let address = self.daemons.traffic[index];
        let proxy = &mut self.daemons.proxies[index];
        let admin = proxy.address("admin").await;
        proxy.signal(Signal::TERM);
        until("readiness to fail", async || {
            // The page may have gone already, if the machine is slow.
            get(admin, "/readyz").await.map_or(Some(()), |answer| (answer.status() == 503).then_some(()))
        })
        .await;
        self.chooser.without(address);
        let status = proxy.exit().await;
        assert_eq!(status.code(), Some(0), "{}", proxy.output());
        self.daemons.restart_proxy(index).await;
        self.chooser.with(address);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_http1_notice_nothing() {
    let mut stage = Stage::start().await;
    let load = Load::start(stage.chooser.address(), 8, Duration::ZERO);
    let (times, least) = goal();
    let mut replaced = 0;
    while replaced < times || load.answered() < least {
        load.progress(200).await;
        stage.replace(replaced % 2).await;
        replaced += 1;
    }
    let outcome = load.stop().await;
    println!("{replaced} replaced, {} answers", outcome.ok());
    assert_eq!((outcome.failed, outcome.failures), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_http2_notice_nothing() {
    let mut stage = Stage::start().await;
    let load = Load2::start(stage.chooser.address(), 4);
    let (times, least) = goal();
    let mut replaced = 0;
    while replaced < times || load.answered() < least {
        load.progress(200).await;
        stage.replace(replaced % 2).await;
        replaced += 1;
    }
    let (answered, failures) = load.stop().await;
    println!("{replaced} replaced, {answered} answers");
    assert_eq!(failures, Vec::<String>::new());
}

/// RFC 9113 section 6.8: first a warning, whatever is on its way is served, then the last request that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http2_is_told_twice() {
    let backend = Backend::start("a").await;
    let daemons = Daemons::start(1).await;
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    let mut wire = Wire::open(daemons.traffic[0]).await.unwrap();
    // Preface, SETTINGS, HEADERS with END_STREAM of a GET for `web`.
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    wire.send(b"\0\0\x08\x01\x05\0\0\0\x01\x82\x86\x84\x41\x03web").await.unwrap();
    while frame(&mut wire).await.unwrap().0 != 0 {}

    daemons.proxies[0].signal(Signal::TERM);
    let mut told = Vec::new();
    while let Some((kind, rest)) = frame(&mut wire).await {
        match kind {
            // PING: its answer says that the warning was heard.
            6 => wire.send([b"\0\0\x08\x06\x01\0\0\0\0", &rest[..]].concat()).await.unwrap(),
            7 => told.push(rest),
            _ => {}
        }
    }
    assert_eq!(told, [[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]]);
    assert_eq!(wire.to_end().await.1, End::Clean);
}

/// The kind of the next frame, and its payload; None at the end.
async fn frame(wire: &mut Wire) -> Option<(u8, Vec<u8>)> {
    let head = wire.exactly(9).await.ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    Some((head[3], wire.exactly(length).await.ok()?))
}

/// Programs that count what fails, and that connect again only when they are told to. By HTTP/2 they are no judges: h2load
/// begins nothing more after a GOAWAY, and counts that as failed.
#[tokio::test(flavor = "multi_thread")]
async fn wrk_and_h2load_count_no_failures() {
    let mut stage = Stage::start().await;
    let url = format!("http://{}/", stage.chooser.address());
    let requests = if soak() { "200000" } else { "10000" };
    let seconds = if soak() { "60s" } else { "3s" };
    for (program, options) in [
        ("h2load", vec!["--h1", "-c", "8", "-n", requests, "-T", "20"]),
        ("wrk", vec!["-t", "1", "-c", "8", "-d", seconds, "--timeout", "20s"]),
    ] {
        let mut command = Command::new(program);
        let mut running =
            command.args(options).arg(&url).kill_on_drop(true).stdout(Stdio::piped()).spawn().unwrap();
        let mut replaced = 0;
        while running.try_wait().unwrap().is_none() {
            stage.replace(replaced % 2).await;
            replaced += 1;
        }
        let output = running.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{replaced} replaced: {text}");
        assert!(replaced > 0 && output.status.success(), "{program}: {text}");
        assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
        assert!(program == "wrk" || text.contains(" succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    }
}
