//! `weir run`: a program that knows nothing of Weir is registered, stays registered and leaves in good order.

use std::time::Duration;

use weir_proto::v1::{self, OperatorState};
use weir_tests::{Daemons, Load, Port, Process, Signal, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn it_registers_survives_a_restart_drains_and_passes_the_exit_code_on() {
    let mut daemons = Daemons::start(1).await;
    let mut steady = weir_tests::Backend::start("steady").await;
    daemons.api.register("web", steady.address()).await.unwrap();
    let (mut agent, port) = run(&daemons, "2s");
    let id = port.address().to_string();
    registered(&daemons, &id).await;
    daemons.api.settled(1).await;
    let load = Load::start(daemons.traffic[0], 4, Duration::from_millis(1));
    load.progress(100).await;

    // While the control plane is away for longer than the ttl, the program runs on; then it is registered as before.
    daemons.control_plane.kill().await;
    load.progress(1_000).await;
    daemons.restart_control_plane().await;
    let lease = registered(&daemons, &id).await;
    assert_eq!(lease.lease_state(), v1::LeaseState::Live);
    daemons.api.settled(1).await;
    load.progress(1_000).await;
    assert_eq!(registered(&daemons, &id).await.lease_state(), v1::LeaseState::Live);

    agent.signal(Signal::TERM);
    assert_eq!(agent.exit().await.code(), Some(7), "{}", agent.output());
    assert!(agent.output().contains("app was told to end"), "{}", agent.output());
    let backends = daemons.api.backends("web").await.unwrap();
    assert!(backends.iter().all(|b| b.id != id), "{backends:?}");
    load.progress(100).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.answers.contains_key("app") && outcome.answers.contains_key("steady"), "{outcome:?}");
    steady.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_registration_is_made_again() {
    let daemons = Daemons::start(1).await;
    let (_agent, port) = run(&daemons, "3s");
    let id = port.address().to_string();
    registered(&daemons, &id).await;

    assert!(daemons.api.deregister(&format!("web/{id}")).await.unwrap().existed);
    registered(&daemons, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_the_last_word() {
    let daemons = Daemons::start(1).await;
    let (_agent, port) = run(&daemons, "10s");
    let id = port.address().to_string();
    registered(&daemons, &id).await;
    let revision = daemons.api.operator_state(&format!("web/{id}"), OperatorState::Disabled).await.unwrap();
    daemons.api.acknowledged(revision, 1).await;

    // Neither heartbeats nor a new registration enable it again.
    let answered = daemons.api.status().await.unwrap().revision;
    assert_eq!(get(daemons.traffic[0], "/").await.unwrap().status(), 503);
    assert_eq!(registered(&daemons, &id).await.operator_state(), OperatorState::Disabled);
    assert_eq!(daemons.api.status().await.unwrap().revision, answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_by_itself_is_deregistered() {
    let daemons = Daemons::start(1).await;
    let (mut agent, port) = run(&daemons, "10s");
    let id = port.address().to_string();
    registered(&daemons, &id).await;
    daemons.api.settled(1).await;

    assert_eq!(get(daemons.traffic[0], "/exit").await.unwrap().status(), 200);
    assert_eq!(agent.exit().await.code(), Some(7), "{}", agent.output());
    assert_eq!(daemons.api.backends("web").await.unwrap(), []);
}

/// Starts the test program under `weir run`, on a free port.
pub(crate) fn run(daemons: &Daemons, ttl: &str) -> (Process, Port) {
    let free = Port::free();
    let port = free.address().port();
    let mut command = Process::command("weir");
    command.env("WEIR_CONTROL_PLANE", format!("http://{}", daemons.grpc()));
    command.args(["run", "--service", "web", "--address", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--ttl", ttl, "--drain", "10s", "--"]).arg(env!("CARGO_BIN_EXE_weir-test-app"));
    command.args([&port.to_string(), "7"]);
    (Process::spawn(command), free)
}

pub(crate) async fn registered(daemons: &Daemons, id: &str) -> v1::Backend {
    until("the registration", async || {
        let backends = daemons.api.backends("web").await.ok()?;
        backends.into_iter().find(|backend| backend.id == id)
    })
    .await
}
