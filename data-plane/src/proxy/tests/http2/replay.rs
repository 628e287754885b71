//! Bodies that are sent once more, where one side speaks HTTP/2 or both do.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use weir_proto::{Service, ServiceProtocol};

use super::{
    super::{
        harness::{Backend, Proxy, eager, service, within},
        replay::text,
    },
    client::{GoodClient, answer, request},
    server::Server,
};
use crate::table::ServiceEntry;

/// An eager service whose backends speak HTTP/2.
pub(super) fn eager2(backends: &[SocketAddr], change: impl FnOnce(&mut Service)) -> Arc<ServiceEntry> {
    service("web", backends, |service| {
        eager(service);
        service.protocol = ServiceProtocol::Http2;
        change(service);
    })
}

/// A server that takes so much of each request's body, and resets it.
pub(super) async fn taking(n: usize, reason: h2::Reason) -> Server {
    Server::scripted(move |mut asked| async move {
        let mut taken = 0;
        while taken < n {
            let Some(Ok(data)) = asked.incoming.data().await else { return };
            taken += data.len();
            let _ = asked.incoming.flow_control().release_capacity(data.len());
        }
        asked.respond.send_reset(reason);
    })
    .await
}

pub(super) async fn echo() -> Server {
    Server::scripted(|mut asked| async move {
        let Ok((body, _)) = asked.body().await else { return };
        asked.answer(body);
    })
    .await
}

async fn put(client: &GoodClient, body: &str, sized: bool) -> (StatusCode, Bytes) {
    let mut put = request("PUT", "/");
    if sized {
        put = put.header("content-length", body.len());
    }
    let mut sender = within(client.sender.clone().ready()).await.unwrap();
    let (response, mut out) = sender.send_request(put.body(()).unwrap(), false).unwrap();
    out.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    let answered = answer(response).await.unwrap();
    (answered.status, answered.body)
}

#[tokio::test]
async fn what_fits_is_sent_again_byte_for_byte() {
    for size in [1 << 10, 40 << 10, 64 << 10] {
        let body = text(size);
        for (sized, taken) in [(true, 1), (true, size), (false, 1), (false, size)] {
            let (bad, good) = (taking(taken, h2::Reason::INTERNAL_ERROR).await, echo().await);
            let proxy = Proxy::of(vec![eager2(&[bad.address, good.address], |_| {})]).await;
            let client = GoodClient::to(&proxy).await;
            for _ in 0..2 {
                let (status, back) = put(&client, &body, sized).await;
                assert_eq!(status, 200, "{size} bytes, sized: {sized}, {taken} were taken");
                assert!(back == body);
            }
            assert!(proxy.workers.counters().retries >= 1);
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_sent_again() {
    let body = text(100_000);
    let (bad, good) = (taking(100_000, h2::Reason::INTERNAL_ERROR).await, echo().await);
    let proxy = Proxy::of(vec![eager2(&[bad.address, good.address], |_| {})]).await;
    let client = GoodClient::to(&proxy).await;
    let mut statuses =
        [put(&client, &body, true).await.0.as_u16(), put(&client, &body, true).await.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_body_of_http1_is_sent_again_to_http2() {
    let body = text(40_000);
    let (bad, good) = (taking(20_000, h2::Reason::INTERNAL_ERROR).await, echo().await);
    let proxy = Proxy::of(vec![eager2(&[bad.address, good.address], |_| {})]).await;
    let sized = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for rest in [&sized, &chunked, &sized, &chunked] {
        let mut client = proxy.client().await;
        client.send(&format!("PUT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest}")).await;
        let said = client.rest().await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).collect::<String>();
        assert!(letters(&said).contains(&letters(&body[..10_000])));
    }
    assert!(proxy.workers.counters().retries >= 2);
    assert!(good.requests().len() == 4);
}

#[tokio::test]
async fn a_body_of_http2_is_sent_again_to_http1() {
    let bad = Backend::scripted(|mut served| async move {
        served.head().await;
        served.bytes(1).await;
    })
    .await;
    let good = Backend::echo().await;
    let proxy = Proxy::of(vec![service("web", &[bad.address, good.address], eager)]).await;
    let client = GoodClient::to(&proxy).await;
    for size in [1 << 10, 40 << 10, 64 << 10] {
        let body = text(size);
        for sized in [true, false, true, false] {
            let (status, back) = put(&client, &body, sized).await;
            assert_eq!(status, 200, "{size} {sized}");
            assert!(back == body);
        }
    }
    assert!(proxy.workers.counters().retries >= 6);
}

#[tokio::test]
async fn what_has_trailers_is_not_sent_again_without_them() {
    let whole = |good: bool| {
        Server::scripted(move |mut asked| async move {
            let (body, trailers) = asked.body().await.unwrap();
            assert_eq!(trailers.unwrap()["x-sum"], "7");
            if good {
                asked.answer(body);
            } else {
                asked.respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        })
    };
    let (bad, good) = (whole(false).await, whole(true).await);
    let proxy = Proxy::of(vec![eager2(&[bad.address, good.address], |_| {})]).await;
    let mut client = GoodClient::to(&proxy).await;
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let put = request("PUT", "/").body(()).unwrap();
        let answered = client.upload(put, &[b"ab"], Some(trailers.clone())).await.unwrap();
        assert!(answered.status == 502 || &answered.body[..] == b"ab");
        statuses.push(answered.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
}
