//! A client stays with the backend that answered it first, for as long as that can be.

use std::net::SocketAddr;

use weir_proto::v1::OperatorState;
use weir_tests::{Backend, Client, Daemons, Response};

const STICKY: &str = "session_affinity: { cookie_name: stay }";

#[tokio::test(flavor = "multi_thread")]
async fn clients_stay_even_while_it_drains_and_move_without_an_error_when_it_is_gone() {
    let mut all = [Backend::start("a").await, Backend::start("b").await, Backend::start("c").await];
    let daemons = Daemons::start(1).await;
    let addresses: Vec<_> = all.iter().map(Backend::address).collect();
    daemons.serve("web", &[STICKY], &addresses).await;
    let traffic = daemons.traffic[0];

    let first = ask(traffic, None).await;
    let (home, cookie) = (first.text(), cookie(&first).expect("a cookie"));
    assert!(!cookie.contains("127."), "{cookie} tells the address");
    for _ in 0..10 {
        assert_eq!(ask(traffic, Some(&cookie)).await.text(), home);
    }
    let others: Vec<_> = newcomers(traffic, 9).await;
    assert!(others.iter().any(|name| *name != home), "clients without a cookie are balanced: {others:?}");

    // It drains: who is there stays, who is new goes elsewhere.
    let at = all.iter().position(|backend| backend.name() == home).unwrap();
    let name = format!("web/{}", addresses[at]);
    let revision = daemons.api.operator_state(&name, OperatorState::Draining).await.unwrap();
    daemons.api.acknowledged(revision, 1).await;
    for _ in 0..10 {
        assert_eq!(ask(traffic, Some(&cookie)).await.text(), home);
    }
    assert!(!newcomers(traffic, 9).await.contains(&home));

    // It is gone: another one answers, and keeps the client from then on.
    all[at].stop().await;
    let revision = daemons.api.operator_state(&name, OperatorState::Disabled).await.unwrap();
    daemons.api.acknowledged(revision, 1).await;
    let moved = ask(traffic, Some(&cookie)).await;
    assert!(moved.status() == 200 && moved.text() != home, "{moved:?}");
    let cookie = self::cookie(&moved).expect("a new cookie");
    for _ in 0..10 {
        assert_eq!(ask(traffic, Some(&cookie)).await.text(), moved.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_dies_costs_its_clients_no_error() {
    let mut all = [Backend::start("a").await, Backend::start("b").await];
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &[STICKY], &[all[0].address(), all[1].address()]).await;
    let first = ask(daemons.traffic[0], None).await;
    let cookie = cookie(&first).expect("a cookie");
    all.iter_mut().find(|backend| backend.name() == first.text()).unwrap().stop().await;
    for _ in 0..20 {
        let answer = ask(daemons.traffic[0], Some(&cookie)).await;
        assert!(answer.status() == 200 && answer.text() != first.text(), "{answer:?}");
    }
}

/// One request of a client that has this cookie.
async fn ask(traffic: SocketAddr, cookie: Option<&str>) -> Response {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: other=1; {cookie}\r\n"));
    let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{cookie}\r\n");
    Client::open(traffic).await.unwrap().send("GET", request).await.unwrap()
}

/// Who answers so many clients that are new.
async fn newcomers(traffic: SocketAddr, clients: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..clients {
        names.push(ask(traffic, None).await.text());
    }
    names
}

/// The cookie that the answer sets, as the client sends it back.
fn cookie(answer: &Response) -> Option<String> {
    let set = answer.head.get("set-cookie")?;
    let pair = set.split(';').next()?;
    pair.starts_with("stay=").then(|| pair.to_owned())
}
