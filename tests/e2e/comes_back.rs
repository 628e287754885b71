//! An ejected backend comes back: one request decides, then its share grows, and operators are told once.

use std::time::Duration;

use tokio::time::Instant;
use weir_tests::{Backend, Behaviour, Client, Daemons, Events, Load, until};

const WINDOW: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn one_request_decides_and_then_its_share_grows() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(1).await;
    let eject = "outlier_detection: { consecutive_5xx: 3, base_ejection_time: 6s }";
    let slowly = format!("slow_start: {{ window: {}s }}", WINDOW.as_secs());
    daemons.serve("web", &[eject, &slowly], &[a.address(), b.address()]).await;
    let events = Events::watch(&daemons.api).await;
    let name = format!("web/{}", b.address());

    b.set(Behaviour::Status(500));
    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    let ejected = async || !daemons.found(0, "web", b.address()).await["ejection"].is_null();
    // It is out from the answer to the last of them on, which this is before.
    let mut was_out = Instant::now();
    until("the ejection", async || {
        was_out = Instant::now();
        client.get("/").await.unwrap();
        ejected().await.then_some(())
    })
    .await;
    let met = b.requests();
    assert_eq!(met, 3, "in a row");
    events.tell(&name, "ejected ").await;

    // The next one to reach it decides; until it is answered no other comes.
    b.set(Behaviour::Hold);
    let load = Load::start(daemons.traffic[0], 4, Duration::from_millis(1));
    load.progress(50).await;
    let found =
        daemons.finds(0, "web", b.address(), "on probation", |f| f["ejection"]["state"] == "probation");
    assert_eq!(found.await["ejection"]["reason"], "consecutive_5xx");
    b.has(met + 1).await;
    assert!(was_out.elapsed() > Duration::from_secs(5), "it was out for its time");
    load.progress(300).await;
    assert_eq!(b.requests(), met + 1, "the others went elsewhere meanwhile");

    b.set(Behaviour::Name);
    let begin = Instant::now();
    b.release(1);
    until("its return", async || (!ejected().await).then_some(())).await;
    let back = Instant::now();
    let early = share(&a, &b, back + WINDOW / 5).await;
    let in_time = begin.elapsed() < WINDOW / 3;
    until("the end of its slow start", async || (back.elapsed() > WINDOW).then_some(())).await;
    let late = share(&a, &b, Instant::now() + WINDOW / 5).await;
    println!("share in the first fifth of the window {early:.2}, after it {late:.2}");
    // A machine that took longer than that has seen something else.
    assert!((early < 0.3 || !in_time) && late > 0.4, "{early:.2}, {late:.2}");

    events.tell(&name, "took").await;
    daemons.proxies[0].line(&format!("backend {name} is back")).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    assert_eq!(events.of(&name).len(), 2, "{:?}", events.of(&name));
    let log = daemons.proxies[0].output();
    let told =
        |what: &str| log.lines().filter(|line| line.contains(&format!("backend {name} is {what}"))).count();
    assert_eq!((told("ejected"), told("back")), (1, 1), "{log}");
}

/// What part of the requests from now until then went to the second one.
async fn share(a: &Backend, b: &Backend, until_then: Instant) -> f64 {
    let before = (a.requests(), b.requests());
    // At least a hundred, so that chance plays no part.
    until("enough requests", async || {
        let enough = a.requests() + b.requests() >= before.0 + before.1 + 100;
        (enough && Instant::now() > until_then).then_some(())
    })
    .await;
    let counted = |now: usize, before: usize| f64::from(u32::try_from(now - before).unwrap());
    let (to_a, to_b) = (counted(a.requests(), before.0), counted(b.requests(), before.1));
    to_b / (to_a + to_b)
}
