//! What a service may have under way, and who waits for room.

use std::sync::Arc;

use tokio::{io::AsyncWriteExt, task::JoinHandle, time::Duration};
use weir_proto::CircuitBreakers;

use super::{
    harness::{Backend, Client, Proxy, Response, eager, endpoint, service, until, web, with_backends},
    scripts::Hold,
};
use crate::{endpoint::Marks, reason::Reason, table::ServiceEntry};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Nobody who waits is sent away for that.
const PATIENT: CircuitBreakers = CircuitBreakers {
    max_requests: 1024,
    max_pending_requests: 1024,
    queue_timeout: Duration::from_mins(1),
    max_requests_per_backend: 1024,
    max_connections_per_backend: 1024,
    consecutive_failures: 0,
    open_time: Duration::from_secs(5),
    stall_grace: Duration::from_mins(1),
    max_requests_per_client: 0,
};

fn bounded(backends: &[&Backend], breakers: CircuitBreakers) -> Arc<ServiceEntry> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    service("web", &addresses, |service| {
        eager(service);
        service.circuit_breakers = breakers;
        // The time for a queue is no part of that for an answer.
        service.timeouts.connect = Duration::from_mins(1);
    })
}

/// Clients with a connection and a request each.
async fn ask(proxy: &Proxy, clients: usize) -> Vec<JoinHandle<Response>> {
    let mut asked = Vec::new();
    for _ in 0..clients {
        let mut client = proxy.client().await;
        asked.push(tokio::spawn(async move { client.ask(GET).await }));
    }
    asked
}

async fn asking(proxy: &Proxy) -> Client {
    let mut client = proxy.client().await;
    client.send(GET).await;
    client
}

async fn statuses(asked: Vec<JoinHandle<Response>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for task in asked {
        statuses.push(task.await.unwrap().status());
    }
    statuses
}

#[tokio::test]
async fn a_service_has_as_many_under_way_as_it_may_and_the_rest_waits() {
    let hold = Hold::new();
    let (a, b) = (hold.backend().await, hold.backend().await);
    let entry = bounded(&[&a, &b], CircuitBreakers { max_requests: 3, ..PATIENT });
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let asked = ask(&proxy, 24).await;
    until(|| hold.now() == 3 && live.gate().waiting() == 21).await;
    hold.release(24);
    assert_eq!(statuses(asked).await, [200; 24]);
    assert_eq!(hold.most(), 3);
    until(|| live.gate().held() == 0 && live.gate().waiting() == 0).await;
}

#[tokio::test]
async fn a_backend_has_as_many_under_way_as_it_may_and_the_rest_waits() {
    let holds = [Hold::new(), Hold::new()];
    let (a, b) = (holds[0].backend().await, holds[1].backend().await);
    let entry = bounded(&[&a, &b], CircuitBreakers { max_requests_per_backend: 3, ..PATIENT });
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let asked = ask(&proxy, 24).await;
    until(|| holds.iter().all(|hold| hold.now() == 3) && live.gate().waiting() == 18).await;
    // Only one of the two goes on: those who wait are not bound to the other.
    holds[0].release(18 + 3);
    until(|| live.gate().waiting() == 0 && holds[0].now() == 0).await;
    holds[1].release(3);
    assert_eq!(statuses(asked).await, [200; 24]);
    assert!(holds.iter().all(|hold| hold.most() == 3));
}

#[tokio::test]
async fn a_backend_has_as_many_connections_as_it_may() {
    let hold = Hold::new();
    let (a, b) = (hold.backend().await, hold.backend().await);
    let entry = bounded(&[&a, &b], CircuitBreakers { max_connections_per_backend: 3, ..PATIENT });
    let endpoints = [&a, &b].map(|backend| endpoint(&entry, backend.address));
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let asked = ask(&proxy, 24).await;
    until(|| hold.now() == 6 && live.gate().waiting() == 18).await;
    assert_eq!((a.connections(), b.connections()), (3, 3));
    assert!(endpoints.iter().all(|endpoint| endpoint.connections().open() == 3));
    hold.release(24);
    assert_eq!(statuses(asked).await, [200; 24]);
    assert_eq!(hold.most(), 6);
}

#[tokio::test]
async fn who_waits_for_a_connection_gets_the_one_that_is_free() {
    let holds = [Hold::new(), Hold::new(), Hold::new()];
    let backends = [holds[0].backend().await, holds[1].backend().await, holds[2].backend().await];
    let all: Vec<_> = backends.iter().collect();
    let entry = bounded(&all, CircuitBreakers { max_connections_per_backend: 1, ..PATIENT });
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let (mut clients, mut last) = (Vec::new(), None);
    for (n, waiting) in [0, 0, 0, 1, 2, 3].into_iter().enumerate() {
        let before = [0, 1, 2].map(|n| holds[n].now());
        clients.push(asking(&proxy).await);
        // In turn, so that the last one waits behind those who wait for other backends.
        until(|| holds.iter().map(|hold| hold.now()).sum::<usize>() == (n + 1).min(3)).await;
        until(|| live.gate().waiting() == waiting).await;
        last = (0..3).find(|n| holds[*n].now() > before[*n]).or(last);
    }
    let served = last.unwrap();
    holds[served].release(2);
    assert_eq!(clients[2].response().await.status(), 200);
    assert_eq!(clients[5].response().await.status(), 200);
    assert_eq!(live.gate().waiting(), 2);
    for hold in &holds {
        hold.release(2);
    }
    for client in [0, 1, 3, 4] {
        assert_eq!(clients[client].response().await.status(), 200);
    }
}

#[tokio::test]
async fn a_connection_that_idles_makes_way_for_another_worker() {
    let backend = Backend::named("a").await;
    let entry = bounded(&[&backend], CircuitBreakers { max_connections_per_backend: 1, ..PATIENT });
    let live = endpoint(&entry, backend.address);
    let proxy = Proxy::of(vec![entry]).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = proxy.client().await;
        assert_eq!(client.ask(GET).await.body, "a");
        assert_eq!(live.connections().open(), 1);
        clients.push(client);
    }
}

#[tokio::test]
async fn too_many_who_wait_are_told_at_once_and_who_waits_too_long_then() {
    let hold = Hold::new();
    let backend = hold.backend().await;
    let short = Duration::from_millis(100);
    for breakers in [
        CircuitBreakers { max_requests: 1, ..PATIENT },
        CircuitBreakers { max_requests_per_backend: 1, ..PATIENT },
        CircuitBreakers { max_connections_per_backend: 1, ..PATIENT },
    ] {
        for (breakers, told) in [
            (CircuitBreakers { max_pending_requests: 1, ..breakers }, "overflow"),
            (CircuitBreakers { queue_timeout: short, ..breakers }, "queue_timeout"),
        ] {
            let entry = bounded(&[&backend], breakers);
            let live = Arc::clone(&entry.live);
            let proxy = Proxy::of(vec![entry]).await;
            let first = asking(&proxy).await;
            until(|| hold.now() == 1).await;
            let mut waiting = Vec::new();
            if told == "overflow" {
                waiting.push(asking(&proxy).await);
                until(|| live.gate().waiting() == 1).await;
            }
            let response = proxy.ask(GET).await;
            assert_eq!(response.outcome(), (503, told), "{breakers:?}");
            assert!(response.field("retry-after").is_some());
            hold.release(1 + waiting.len());
            for mut client in waiting.into_iter().chain([first]) {
                assert_eq!(client.response().await.status(), 200);
            }
            until(|| live.gate().held() == 0 && live.gate().waiting() == 0).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_leaves_its_place() {
    let hold = Hold::new();
    let backend = hold.backend().await;
    for breakers in [
        CircuitBreakers { max_requests: 1, ..PATIENT },
        CircuitBreakers { max_connections_per_backend: 1, ..PATIENT },
    ] {
        let entry = bounded(&[&backend], breakers);
        let (live, counters) = (Arc::clone(&entry.live), Arc::clone(&entry.counters));
        let proxy = Proxy::of(vec![entry]).await;
        let mut first = asking(&proxy).await;
        until(|| hold.now() == 1).await;
        let before = backend.heads().len();
        for request in [GET, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"] {
            let mut client = proxy.client().await;
            client.send(request).await;
            until(|| live.gate().waiting() == 1).await;
            client.0.shutdown().await.unwrap();
            until(|| live.gate().waiting() == 0).await;
        }
        until(|| counters.sum().reasons[Reason::ClientGone as usize] == 2).await;
        hold.release(1);
        assert_eq!(first.response().await.status(), 200);
        assert_eq!(backend.heads().len(), before);
        until(|| live.gate().held() == 0).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_backend_that_is_taken_out_is_told_at_once() {
    let hold = Hold::new();
    let backend = hold.backend().await;
    let entry = bounded(&[&backend], CircuitBreakers { max_requests_per_backend: 1, ..PATIENT });
    let (live, backends) = (Arc::clone(&entry.live), endpoint(&entry, backend.address));
    let proxy = Proxy::of(vec![entry]).await;
    let mut first = asking(&proxy).await;
    until(|| hold.now() == 1).await;
    let asked = ask(&proxy, 8).await;
    until(|| live.gate().waiting() == 8).await;
    backends.set_retired(Marks::DRAINING);
    for task in asked {
        assert_eq!(task.await.unwrap().outcome(), (503, "no_routable_backend"));
    }
    hold.release(1);
    assert_eq!(first.response().await.status(), 200);
    backends.set_retired(Marks::default());
    hold.release(1);
    assert_eq!(proxy.ask(GET).await.status(), 200);
}

#[tokio::test]
async fn a_backend_that_is_added_takes_those_who_wait() {
    let hold = Hold::new();
    let (old, new) = (hold.backend().await, Backend::named("new").await);
    let entry = bounded(&[&old], CircuitBreakers { max_requests_per_backend: 1, ..PATIENT });
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![Arc::clone(&entry)]).await;
    let mut first = asking(&proxy).await;
    until(|| hold.now() == 1).await;
    let asked = ask(&proxy, 8).await;
    until(|| live.gate().waiting() == 8).await;
    let next = with_backends(&entry, &[old.address, new.address]);
    let added = endpoint(&next, new.address);
    proxy.serve(vec![next], &[]);
    // As whoever brings a table into force says of all that is routable.
    added.set_retired(Marks::default());
    for task in asked {
        assert_eq!(task.await.unwrap().body, "new");
    }
    hold.release(1);
    assert_eq!(first.response().await.status(), 200);
    until(|| live.gate().held() == 0).await;
}

#[tokio::test]
async fn the_defaults_keep_nobody_waiting() {
    let hold = Hold::new();
    let backend = hold.backend().await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let asked = ask(&proxy, 100).await;
    until(|| hold.now() == 100).await;
    hold.release(100);
    assert_eq!(statuses(asked).await, [200; 100]);
}
