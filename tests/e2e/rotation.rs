//! Round robin is strict: A B C A B C, whichever connection or worker, and exact under concurrency.

use std::collections::BTreeSet;

use weir_tests::{Backend, Client, Cluster, Load, get};

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_or_six_see_the_same_order() {
    let (a, b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b, &c]).await;

    let mut answers = Vec::new();
    let mut client = Client::open(cluster.traffic()).await.unwrap();
    for _ in 0..6 {
        answers.push(client.get("/").await.unwrap().text());
    }
    for _ in 0..6 {
        answers.push(get(cluster.traffic(), "/").await.unwrap().text());
    }

    let distinct: BTreeSet<_> = answers[..3].iter().cloned().collect();
    assert_eq!(distinct.len(), 3, "{answers:?}");
    assert!(answers.windows(4).all(|window| window[0] == window[3]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_under_concurrency() {
    let (a, b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b, &c]).await;

    let outcome = Load::run(cluster.traffic(), 64, 3_000).await;

    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!([a.requests(), b.requests(), c.requests()], [1_000, 1_000, 1_000]);
}
