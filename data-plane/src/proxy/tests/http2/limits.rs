//! What a service may have under way to backends that speak HTTP/2.

use std::sync::Arc;

use tokio::time::Duration;
use weir_proto::CircuitBreakers;

use super::{
    super::{
        harness::{Proxy, until, within},
        scripts::Hold,
    },
    client::{GoodClient, request},
    replay::eager2,
    server::Server,
};
use crate::table::ServiceEntry;

/// A server whose requests are held, and that takes so many at a time on one connection.
async fn holding(hold: &Arc<Hold>, streams: u32) -> Server {
    let hold = Arc::clone(hold);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams);
    Server::built(builder, move |asked| {
        let hold = Arc::clone(&hold);
        async move {
            hold.pass().await;
            asked.answer("held");
        }
    })
    .await
}

fn bounded(servers: &[&Server], change: impl FnOnce(&mut CircuitBreakers)) -> Arc<ServiceEntry> {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    eager2(&addresses, |service| {
        service.circuit_breakers.queue_timeout = Duration::from_mins(1);
        service.timeouts.connect = Duration::from_mins(1);
        change(&mut service.circuit_breakers);
    })
}

#[tokio::test]
async fn a_backend_has_as_many_under_way_as_it_may_and_the_rest_waits() {
    let holds = [Hold::new(), Hold::new()];
    let (one, two) = (holding(&holds[0], 100).await, holding(&holds[1], 100).await);
    let entry = bounded(&[&one, &two], |breakers| breakers.max_requests_per_backend = 3);
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let mut asked = Vec::new();
    for _ in 0..6 {
        let client = GoodClient::to(&proxy).await;
        asked.extend((0..4).map(|_| tokio::spawn(client.beside())));
    }
    until(|| holds.iter().all(|hold| hold.now() == 3) && live.gate().waiting() == 18).await;
    holds[0].release(24);
    holds[1].release(24);
    for task in asked {
        assert_eq!(within(task).await.unwrap().unwrap().status, 200);
    }
    assert!(holds.iter().all(|hold| hold.most() == 3));
    until(|| live.gate().held() == 0).await;
}

#[tokio::test]
async fn who_may_have_no_more_connections_waits_for_a_place_on_those_that_are_there() {
    for most in [1, 2] {
        let hold = Hold::new();
        let server = holding(&hold, 2).await;
        let entry = bounded(&[&server], |breakers| breakers.max_connections_per_backend = most);
        let live = Arc::clone(&entry.live);
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = GoodClient::to(&proxy).await;
        // Whoever comes first learns how many there may be.
        hold.release(1);
        client.get("/").await.unwrap();
        let asked: Vec<_> = (0..8).map(|_| tokio::spawn(client.beside())).collect();
        let most = most as usize;
        until(|| hold.now() == 2 * most && live.gate().held() == 8).await;
        hold.release(8);
        for task in asked {
            assert_eq!(within(task).await.unwrap().unwrap().status, 200);
        }
        assert_eq!((server.connections(), hold.most()), (most, 2 * most));
    }
}

#[tokio::test]
async fn a_request_that_is_cancelled_leaves_the_queue() {
    let hold = Hold::new();
    let server = holding(&hold, 100).await;
    let entry = bounded(&[&server], |breakers| breakers.max_requests = 1);
    let live = Arc::clone(&entry.live);
    let proxy = Proxy::of(vec![entry]).await;
    let client = GoodClient::to(&proxy).await;
    let first = tokio::spawn(client.beside());
    until(|| hold.now() == 1).await;
    let mut sender = within(client.sender.clone().ready()).await.unwrap();
    let (response, mut out) = sender.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    until(|| live.gate().waiting() == 1).await;
    out.send_reset(h2::Reason::CANCEL);
    drop(response);
    until(|| live.gate().waiting() == 0).await;
    hold.release(1);
    assert_eq!(first.await.unwrap().unwrap().status, 200);
    assert_eq!(server.requests().len(), 1);
}
