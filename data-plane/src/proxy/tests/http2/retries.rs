//! What is tried again with backends that speak HTTP/2, and what is not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http::{HeaderValue, Response};
use tokio::io::AsyncReadExt;
use weir_proto::RetryOn;

use super::{
    super::{
        harness::{Backend, Proxy},
        replay::text,
    },
    client::{GoodClient, request},
    frames::{GOAWAY, HEADERS, SETTINGS, frame},
    replay::{eager2, echo, taking},
    server::{Asked, Server},
};

fn call() -> http::Request<()> {
    request("POST", "/a.B/C").header("content-type", "application/grpc").body(()).unwrap()
}

#[tokio::test]
async fn a_call_that_was_not_looked_at_is_sent_again_with_its_message() {
    let (bad, good) = (taking(1, h2::Reason::REFUSED_STREAM).await, echo().await);
    let proxy = Proxy::of(vec![eager2(&[bad.address, good.address], |_| {})]).await;
    let mut client = GoodClient::to(&proxy).await;
    for _ in 0..4 {
        let answer = client.upload(call(), &[b"\0\0\0\0\x02hi"], None).await.unwrap();
        assert_eq!(&answer.body[..], b"\0\0\0\0\x02hi");
    }
    assert!(bad.requests().len() >= 2);
}

/// A server that answers calls with nothing but a status.
async fn failing(status: &'static str) -> Server {
    Server::scripted(move |mut asked| async move {
        let _ = asked.body().await;
        let mut response = Response::new(());
        response.headers_mut().insert("grpc-status", HeaderValue::from_static(status));
        let _ = asked.respond.send_response(response, true);
    })
    .await
}

#[tokio::test]
async fn a_call_is_repeated_by_its_status_where_the_service_allows_that() {
    for (on, status, allowed, again) in [
        (14, "14", true, true),
        (14, "14", false, false),
        (14, "13", true, false),
        (8, "8", true, true),
        (1, "1", true, true),
    ] {
        let (bad, good) = (failing(status).await, echo().await);
        let entry = eager2(&[bad.address, good.address], |service| {
            service.retry_policy.retry_on = vec![RetryOn::Grpc(on)];
            service.retry_policy.retry_non_idempotent = allowed;
        });
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = GoodClient::to(&proxy).await;
        let mut failed = 0;
        for _ in 0..4 {
            let answer = client.upload(call(), &[b"\0\0\0\0\x02hi"], None).await.unwrap();
            failed += usize::from(answer.field("grpc-status") == Some(status));
        }
        assert_eq!(failed, if again { 0 } else { 2 }, "{on} {status} {allowed}");
        assert!(bad.requests().len() >= 2);
    }
}

/// A backend that says, once a request has come, that it will have looked at streams up to `last`, and goes.
async fn going(last: fn(u32) -> u32) -> Backend {
    Backend::scripted(move |mut served| async move {
        let hello = [frame(SETTINGS, 0, 0, b""), frame(SETTINGS, 1, 0, b"")].concat();
        served.send(std::str::from_utf8(&hello).unwrap()).await;
        served.stream.read_exact(&mut [0; 24]).await.unwrap();
        loop {
            let mut head = [0; 9];
            if served.stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let [_, l1, l2, kind, _, s0, s1, s2, s3] = head;
            served.stream.read_exact(&mut vec![0; usize::from(u16::from_be_bytes([l1, l2]))]).await.unwrap();
            if kind == HEADERS {
                let last = last(u32::from_be_bytes([s0, s1, s2, s3]));
                let rest = [last.to_be_bytes(), [0; 4]].concat();
                served.send(std::str::from_utf8(&frame(GOAWAY, 0, 0, &rest)).unwrap()).await;
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_was_looked_at_before_a_backend_went_is_not_repeated() {
    let looked: fn(u32) -> u32 = |stream| stream;
    for (last, expected) in [(looked, [200, 502]), (|_| 0, [200, 200])] {
        let (bad, good) = (going(last).await, echo().await);
        let proxy = Proxy::of(vec![eager2(&[bad.address, good.address], |_| {})]).await;
        let mut client = GoodClient::to(&proxy).await;
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(client.ask(request("POST", "/").body(()).unwrap()).await.unwrap().status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, expected);
    }
}

/// Resets some requests at random points. Counts those that it has looked at, by their ids.
async fn mood(mut asked: Asked, seen: Arc<Mutex<HashMap<String, usize>>>) {
    let mood = fastrand::u8(..8);
    if mood == 0 {
        return asked.respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    let id = asked.parts.headers["x-id"].to_str().unwrap().to_owned();
    *seen.lock().unwrap().entry(id).or_default() += 1;
    match mood {
        1 => return asked.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        2 => drop(asked.incoming.data().await),
        _ => drop(asked.body().await),
    }
    match mood {
        2 | 3 => asked.respond.send_reset(h2::Reason::CANCEL),
        4 => {
            let _ = asked.respond.send_response(Response::builder().status(503).body(()).unwrap(), true);
        }
        _ => asked.answer("done"),
    }
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    const REQUESTS: usize = 500;
    let seen = Arc::<Mutex<HashMap<String, usize>>>::default();
    let server = || {
        let seen = Arc::clone(&seen);
        Server::scripted(move |asked| mood(asked, Arc::clone(&seen)))
    };
    let (one, two) = (server().await, server().await);
    let entry = eager2(&[one.address, two.address], |service| {
        service.retry_policy.num_retries = 5;
        service.retry_policy.retry_on.extend([RetryOn::GatewayError, RetryOn::ServerError]);
    });
    let proxy = Proxy::of(vec![entry]).await;
    let mut client = GoodClient::to(&proxy).await;
    let bodies: [&'static [u8]; 3] = [1, 5_000, 70_000].map(|size| &*text(size).leak()).map(str::as_bytes);
    let mut outcomes = HashMap::new();
    for id in 0..REQUESTS {
        let post = request("POST", "/").header("x-id", id).body(()).unwrap();
        let body = bodies[fastrand::usize(..bodies.len())];
        let status = client.upload(post, &[body], None).await.unwrap().status.as_u16();
        *outcomes.entry(status).or_insert(0) += 1;
    }
    let seen = seen.lock().unwrap();
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(outcomes.values().sum::<usize>() == REQUESTS && outcomes[&200] > REQUESTS / 5, "{outcomes:?}");
    assert!(outcomes[&502] > 0 && outcomes[&503] > 0, "{outcomes:?}");
    assert!(proxy.workers.counters().retries > 0, "of what was refused");
}
