//! `weir apply --wait` tells what became of a change on each proxy: on those that serve it, those that cannot, and those
//! that do not answer.

use std::process::Output;

use serde_json::Value;
use weir_tests::{Daemons, Port, Process, Signal, until};

/// For proxies that are there to acknowledge; one that is stopped uses it up.
const TIME: &str = "4s";

/// Proxies on one host: only the first one of them gets an address that a listener names.
struct Fleet {
    daemons: Daemons,
    proxies: Vec<Process>,
    port: Port,
    folder: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { daemons: Daemons::start(0).await, proxies: Vec::new(), port: Port::free(), folder }
    }

    /// Starts one more, and waits until it follows.
    async fn join(&mut self, id: &str) {
        let mut command = Process::command("weir-data-plane");
        command.arg("--control-plane").arg(format!("http://{}", self.daemons.grpc()));
        command.arg("--data-dir").arg(self.folder.path().join(id));
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--id", id]);
        self.proxies.push(Process::spawn(command));
        self.daemons.api.settled(self.proxies.len()).await;
    }

    /// Applies a listener at the address, in another form than before.
    async fn listener(&self, max_headers: u32) -> (Output, String) {
        let address = self.port.address();
        let limits = format!("{{ max_headers: {max_headers} }}");
        self.apply(&format!("listeners: [ {{ name: web, address: \"{address}\", limits: {limits} }} ]\n"))
            .await
    }

    async fn apply(&self, document: &str) -> (Output, String) {
        let file = self.folder.path().join("apply.yaml");
        std::fs::write(&file, document).unwrap();
        let args = ["apply", "-f", file.to_str().unwrap(), "--wait", "--timeout", TIME];
        let output = self.daemons.weir(&args).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output, error)
    }

    /// The outcome of a revision on each proxy, as `weir status` tells.
    async fn outcomes(&self, revision: u64) -> Vec<(String, String)> {
        let text = self.daemons.weir_ok(&["status", &revision.to_string(), "-o", "json"]).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        let field = |p: &Value, name: &str| p[name].as_str().unwrap().to_owned();
        let proxies = value["proxies"].as_array().unwrap();
        proxies.iter().map(|p| (field(p, "id"), field(p, "outcome"))).collect()
    }

    async fn revision(&self) -> u64 {
        self.daemons.api.status().await.unwrap().revision
    }
}

fn pairs(outcomes: &[(String, String)]) -> Vec<(&str, &str)> {
    outcomes.iter().map(|(id, outcome)| (id.as_str(), outcome.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_what_every_proxy_made_of_it() {
    let mut fleet = Fleet::start().await;
    fleet.join("good").await;
    let (output, error) = fleet.listener(50).await;
    assert_eq!(output.status.code(), Some(0), "{error}");
    // The first listener closes --listen, and nothing else is said.
    assert!(error.contains("(--listen)") && error.lines().count() == 1, "{error}");

    fleet.join("picky").await;
    let (output, error) = fleet.listener(60).await;
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.starts_with("weir: proxy picky cannot realise listener web: "), "{error}");
    assert!(error.ends_with("this form of it is not in force there\n"), "{error}");
    let refused = fleet.revision().await;
    assert_eq!(pairs(&fleet.outcomes(refused).await), [("good", "acknowledged"), ("picky", "refused")]);

    fleet.join("slow").await;
    fleet.proxies[2].signal(Signal::STOP);
    let (output, error) = fleet.apply("services: [ { name: web } ]\n").await;
    assert_eq!(output.status.code(), Some(4), "{error}");
    let late = fleet.revision().await;
    let text = format!("after {TIME} revision {late} is not acknowledged by slow; it is applied");
    assert!(error.contains(&text), "{error}");
    // What picky cannot do is of another revision.
    let note = "weir: proxy picky cannot realise what another revision changed: listener web: ";
    assert!(error.contains(note), "{error}");
    let expected = [("good", "acknowledged"), ("picky", "acknowledged"), ("slow", "pending")];
    assert_eq!(pairs(&fleet.outcomes(late).await), expected);

    let (output, error) = fleet.listener(70).await;
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("proxy picky cannot realise listener web: "), "{error}");
    assert!(error.ends_with("is not acknowledged by slow\n"), "{error}");

    fleet.proxies[2].signal(Signal::CONT);
    until("the stopped one to follow", async || {
        let outcomes = fleet.outcomes(late).await;
        (pairs(&outcomes)[2] == ("slow", "acknowledged")).then_some(())
    })
    .await;
}
