//! New certificates under load: no handshake and no request fails, and bad ones change nothing.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::{ClientConfig, client::Resumption};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use weir_tests::{get, until};

use super::stage::{Stage, ask, shake, shown};
use crate::{authority::Files, soak};

/// A client's pause between two handshakes, so that others have some of the machine.
const PAUSE: Duration = Duration::from_millis(10);

/// Clients of which each makes a connection for each request: every other one goes on with a session that it has.
struct Handshakes {
    clients: JoinSet<Vec<String>>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
}

impl Handshakes {
    fn start(stage: &Stage, address: SocketAddr, count: usize) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let clients = (0..count).map(|number| {
            let mut config = stage.authority.trusted();
            if number % 2 == 0 {
                config.resumption = Resumption::disabled();
            }
            client(address, Arc::new(config), stop.clone(), answered.clone())
        });
        Self { clients: clients.collect(), stop, answered }
    }

    /// How many were answered, and what failed.
    async fn stop(self) -> (usize, Vec<String>) {
        self.stop.cancel();
        let failures = self.clients.join_all().await.concat();
        (self.answered.load(Relaxed), failures)
    }
}

async fn client(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.is_cancelled() {
        let answer = match shake(address, "one.example", &config).await {
            Ok(mut stream) => ask(&mut stream, "one.example").await,
            Err(e) => Err(e),
        };
        match answer {
            Ok(text) if text.starts_with("HTTP/1.1 200") => {
                answered.fetch_add(1, Relaxed);
            }
            other => failures.push(format!("{other:?}")),
        }
        sleep(PAUSE).await;
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_and_nobody_notices() {
    let stage = Stage::start().await;
    let live = stage.path().join("live");
    fs::create_dir(stage.path().join("0")).unwrap();
    lead(&live, "0");
    let issued = stage.authority.issue(&["one.example"]);
    let files = issued.write(&live, "web");
    let address = stage.listen(&format!("{{ certificates: [ {} ] }}", files.yaml())).await;
    let mut fresh = stage.authority.trusted();
    fresh.resumption = Resumption::disabled();
    let fresh = Arc::new(fresh);
    assert_eq!(shown(&shake(address, "one.example", &fresh).await.unwrap()), issued.der);

    let handshakes = Handshakes::start(&stage, address, 6);
    for number in 1..=if soak() { 20 } else { 4 } {
        let issued = stage.authority.issue(&["one.example"]);
        if number % 2 == 0 {
            let folder = stage.path().join(number.to_string());
            fs::create_dir(&folder).unwrap();
            issued.write(&folder, "web");
            lead(&live, &number.to_string());
        } else {
            // One file after the other: for a moment they do not fit.
            issued.write(&live, "web");
        }
        until("the new certificate", async || {
            let stream = shake(address, "one.example", &fresh).await.unwrap();
            (shown(&stream) == issued.der).then_some(())
        })
        .await;
    }
    until("a hundred handshakes", async || (handshakes.answered.load(Relaxed) > 100).then_some(())).await;
    let (answered, failures) = handshakes.stop().await;
    println!("{answered} handshakes with a request each");
    assert_eq!(failures, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_certificates_raise_an_alarm_and_the_old_ones_stay() {
    let stage = Stage::start().await;
    let (first, next) = (stage.authority.issue(&["one.example"]), stage.authority.issue(&["one.example"]));
    let files = first.write(stage.path(), "web");
    let address = stage.listen(&format!("{{ certificates: [ {} ] }}", files.yaml())).await;
    let admin = stage.daemons.proxies[0].address("admin").await;
    let config = Arc::new(stage.authority.trusted());
    let alarm = async |wanted: u8| {
        let line = format!("weir_proxy_tls_reload_failed{{object=\"listener web\"}} {wanted}");
        until(&line, async || get(admin, "/metrics").await.ok()?.text().contains(&line).then_some(())).await;
    };
    alarm(0).await;

    for (what, bad) in [
        ("another's key", stage.authority.issue(&["one.example"]).key),
        ("no key", String::new()),
        ("half a key", first.key[..first.key.len() / 2].to_owned()),
    ] {
        let Files { certificate, key } = &files;
        fs::write(certificate, &next.certificate).unwrap();
        fs::write(key, bad).unwrap();
        alarm(1).await;
        let mut stream = shake(address, "one.example", &config).await.unwrap();
        assert_eq!(shown(&stream), first.der, "{what}");
        assert!(ask(&mut stream, "one.example").await.unwrap().starts_with("HTTP/1.1 200"), "{what}");
        first.write(stage.path(), "web");
        alarm(0).await;
    }
    // Why, for people.
    let line = stage.daemons.proxies[0].line("does not match the certificate").await;
    assert!(line.contains("listener web") && line.contains("web.key"), "{line}");
    assert!(!stage.daemons.proxies[0].output().contains("BEGIN"), "no key is told");
}

/// Lets a link lead elsewhere, in one step.
fn lead(link: &Path, folder: &str) {
    let new = link.with_extension("new");
    symlink(folder, &new).unwrap();
    fs::rename(new, link).unwrap();
}
