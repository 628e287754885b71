//! From a registration to the first 200 through a proxy: three processes on loopback.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_tests::{Backend, Client, Daemons};

const REGISTRATIONS: usize = 200;
/// Longer than the control plane gathers changes for, so that each registration is the first after quiet.
const QUIET: Duration = Duration::from_millis(120);

pub(crate) async fn run() {
    let backend = Backend::start("a").await;
    let daemons = Daemons::start(1).await;

    let mut by_call = Vec::new();
    for number in 0..REGISTRATIONS {
        sleep(QUIET).await;
        let (service, client) = (format!("call-{number}"), Client::open(daemons.traffic[0]).await);
        let first = tokio::spawn(first_answer(client.expect("a connection"), service.clone()));
        let began = Instant::now();
        daemons.api.register(&service, backend.address()).await.expect("registered");
        by_call.push(first.await.expect("an answer") - began);
    }
    report("gRPC call, until the first 200 (expected: p99 at most 10 ms)", by_call);

    let mut by_cli = Vec::new();
    for number in 0..REGISTRATIONS {
        sleep(QUIET).await;
        let (service, client) = (format!("cli-{number}"), Client::open(daemons.traffic[0]).await);
        let first = tokio::spawn(first_answer(client.expect("a connection"), service.clone()));
        let began = Instant::now();
        daemons.weir_ok(&["backend", "register", &service, &backend.address().to_string()]).await;
        by_cli.push(first.await.expect("an answer") - began);
    }
    report("`weir backend register` from its start on, until the first 200", by_cli);
}

/// Asks for the service again and again. When it answered.
async fn first_answer(mut client: Client, service: String) -> Instant {
    let request = format!("GET / HTTP/1.1\r\nHost: {service}\r\n\r\n");
    loop {
        let response = client.send("GET", &request).await.expect("an answer");
        if response.status() == 200 {
            return Instant::now();
        }
        sleep(Duration::from_micros(200)).await;
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    println!("{} registrations by {what}:", times.len());
    println!("  p50 {:.2} ms  p90 {:.2} ms  p99 {:.2} ms  most {:.2} ms", at(50), at(90), at(99), at(100));
}
