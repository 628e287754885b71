//! Three times more than a service can take: it does as much as it can, the others hear so soon, and the proxy is well.

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use weir_tests::{Backend, Behaviour, Daemons, Load, at_once, get};

#[tokio::test(flavor = "multi_thread")]
async fn some_are_served_some_wait_and_the_others_are_told_at_once() {
    let backend = Backend::with("a", Behaviour::Hold).await;
    let daemons = Daemons::start(1).await;
    let breakers = |wait| {
        format!("circuit_breakers: {{ max_requests: 10, max_pending_requests: 20, queue_timeout: {wait} }}")
    };
    daemons.serve("web", &[&breakers("20s")], &[backend.address()]).await;

    let mut asked = ask(daemons.traffic[0], 90);
    // 60 find no room; of the others nobody has an answer.
    let started = Instant::now();
    let told = take(&mut asked, 60).await;
    at_once("60 answers that there is no room", started);
    assert!(told.iter().all(|reason| reason == "503 overflow"), "{told:?}");
    // Those that are served have no answer, so nothing says that they are there already.
    backend.has(10).await;
    assert_eq!(backend.peak(), 10);
    healthy(&daemons).await;

    // Whenever one ends, one of those that wait begins: the backend is never idle.
    for done in 1..=20 {
        backend.release(1);
        backend.has(10 + done).await;
    }
    backend.release(10);
    assert_eq!(take(&mut asked, 30).await, vec!["200".to_owned(); 30]);
    assert_eq!((backend.requests(), backend.peak()), (30, 10));

    // And nobody waits for longer than the time for that.
    daemons.serve("web", &[&breakers("200ms")], &[backend.address()]).await;
    let mut asked = ask(daemons.traffic[0], 90);
    let told = take(&mut asked, 80).await;
    assert_eq!(told.iter().filter(|reason| *reason == "503 overflow").count(), 60, "{told:?}");
    assert_eq!(told.iter().filter(|reason| *reason == "503 queue_timeout").count(), 20, "{told:?}");
    backend.release(10);
    assert_eq!(take(&mut asked, 10).await, vec!["200".to_owned(); 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_as_much_as_without_the_crowd() {
    let backend = Backend::with("a", Behaviour::After(Duration::from_millis(20))).await;
    let daemons = Daemons::start(1).await;
    let breakers = "circuit_breakers: { max_requests: 10, max_pending_requests: 10, queue_timeout: 100ms }";
    daemons.serve("web", &[breakers], &[backend.address()]).await;
    let began = Instant::now();
    let alone = Load::run(daemons.traffic[0], 10, 300).await;
    let capacity = rate(300, began);
    assert_eq!(alone.failures, Vec::<String>::new());

    let load = Load::start(daemons.traffic[0], 40, Duration::from_millis(5));
    load.progress(50).await;
    let (before, began) = (load.answered(), Instant::now());
    for _ in 0..5 {
        healthy(&daemons).await;
        load.progress(60).await;
    }
    let goodput = rate(load.answered() - before, began);
    let outcome = load.stop().await;

    println!("{capacity:.0}/s alone; {goodput:.0}/s of four times as many, {} refused", outcome.failed);
    assert!(outcome.failures.iter().all(|why| why.starts_with("503 ")), "{:?}", outcome.failures);
    assert!(outcome.failed > 0, "that was no overload");
    assert_eq!(backend.peak(), 10);
    // Generous: the crowd itself costs, on a machine that has other things to do as well.
    assert!(goodput > capacity / 10.0, "{goodput:.0}/s in place of {capacity:.0}/s");
}

/// The proxy itself answers, and has not lost its readiness.
async fn healthy(daemons: &Daemons) {
    for page in ["/livez", "/readyz", "/metrics"] {
        let started = Instant::now();
        daemons.page(0, page).await;
        at_once(page, started);
    }
}

fn rate(requests: usize, since: Instant) -> f64 {
    f64::from(u32::try_from(requests).unwrap()) / since.elapsed().as_secs_f64()
}

/// So many requests at one time, each on a connection of its own. Status and reason of the answers, as they come.
fn ask(address: SocketAddr, requests: usize) -> JoinSet<String> {
    let ask = || async move {
        let answer = get(address, "/").await.unwrap();
        let text = answer.text();
        match text.rsplit_once('(') {
            Some((_, reason)) => format!("{} {}", answer.status(), reason.trim_end_matches(')')),
            None => answer.status().to_string(),
        }
    };
    (0..requests).map(|_| ask()).collect()
}

async fn take(asked: &mut JoinSet<String>, answers: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < answers {
        taken.push(asked.join_next().await.expect("more requests").unwrap());
    }
    taken
}
