//! A service that hangs fills its own queue, and nobody else's.

use std::time::Duration;

use tokio::task::JoinSet;
use weir_tests::{Backend, Behaviour, Client, Daemons, Load};

#[tokio::test(flavor = "multi_thread")]
async fn one_service_hangs_and_the_other_does_not_notice() {
    let (hangs, well) = (Backend::with("hangs", Behaviour::Hang).await, Backend::start("well").await);
    let daemons = Daemons::start(1).await;
    let document = format!(
        "services:
  - name: hangs
    circuit_breakers: {{ max_requests: 5, max_pending_requests: 5, queue_timeout: 20s }}
    backends: [\"{}\"]
  - name: well
    backends: [\"{}\"]
routes:
  - match: {{ host: hangs.example }}
    service: hangs
  - service: well
",
        hangs.address(),
        well.address()
    );
    daemons.apply(&document).await;
    let traffic = daemons.traffic[0];
    let load = Load::start(traffic, 8, Duration::ZERO);
    load.progress(100).await;

    let mut asked = JoinSet::new();
    for _ in 0..200 {
        asked.spawn(async move {
            let mut client = Client::open(traffic).await.unwrap();
            client.send("GET", "GET / HTTP/1.1\r\nHost: hangs.example\r\n\r\n").await.unwrap()
        });
    }
    for _ in 0..190 {
        let answer = asked.join_next().await.unwrap().unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.text().contains("(overflow)"), "{}", answer.text());
    }
    hangs.has(5).await;
    load.progress(1_000).await;
    assert_eq!(daemons.found(0, "hangs", hangs.address()).await["in_flight"], 5);

    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!((hangs.requests(), hangs.peak()), (5, 5));
}
