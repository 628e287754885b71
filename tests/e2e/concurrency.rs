//! No backend has more requests at one time than it may.

use tokio::task::JoinSet;
use weir_tests::{Backend, Behaviour, Daemons, get};

#[tokio::test(flavor = "multi_thread")]
async fn each_backend_has_as_many_requests_as_it_may_and_never_one_more() {
    let (a, b) = (Backend::with("a", Behaviour::Hold).await, Backend::with("b", Behaviour::Hold).await);
    let daemons = Daemons::start(1).await;
    let breakers = "circuit_breakers: { max_requests_per_backend: 3, queue_timeout: 20s }";
    daemons.serve("web", &[breakers], &[a.address(), b.address()]).await;
    let traffic = daemons.traffic[0];

    let mut requests = JoinSet::new();
    for _ in 0..60 {
        requests.spawn(async move { get(traffic, "/").await.unwrap().status() });
    }
    for released in 0..27 {
        // Whenever one has room, one of those that wait has it at once.
        for backend in [&a, &b] {
            backend.has(3 + released).await;
        }
        for backend in [&a, &b] {
            assert_eq!(daemons.found(0, "web", backend.address()).await["in_flight"], 3);
            backend.release(1);
        }
    }
    a.release(3);
    b.release(3);
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!((a.requests(), b.requests()), (30, 30));
    assert_eq!((a.peak(), b.peak()), (3, 3));
}
