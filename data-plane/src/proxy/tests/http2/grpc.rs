//! gRPC from end to end: all that it needs of HTTP/2, and our own errors in its words.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use weir_proto::ServiceProtocol;

use super::{
    super::harness::{Proxy, refusing, service, web, within},
    client::{GoodClient, answer, request},
    server::{Server, http2},
};

const STATUS: &str = "grpc-status";

fn call(path: &str) -> http::request::Builder {
    request("POST", path).header("content-type", "application/grpc").header("te", "trailers")
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(STATUS.parse().unwrap(), HeaderValue::from_static(status))])
}

#[tokio::test]
async fn a_call_and_its_trailers_pass() {
    let server = Server::scripted(|mut asked| async move {
        assert_eq!(asked.parts.headers["te"], "trailers");
        let (body, _) = asked.body().await.unwrap();
        let mut out = asked.respond.send_response(Response::new(()), false).unwrap();
        out.send_data(body, false).unwrap();
        out.send_trailers(trailers("0")).unwrap();
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    let answer = client.upload(call("/a.B/C").body(()).unwrap(), &[b"\0\0\0\0\x01x"], None).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"\0\0\0\0\x01x"[..]));
    assert_eq!(answer.trailers.unwrap(), trailers("0"));
}

#[tokio::test]
async fn an_answer_that_is_nothing_but_trailers_passes() {
    let server = Server::scripted(|mut asked| async move {
        let mut response = Response::new(());
        *response.headers_mut() = trailers("5");
        asked.respond.send_response(response, true).unwrap();
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let client = GoodClient::to(&proxy).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, _out) = sender.send_request(call("/a.B/C").body(()).unwrap(), false).unwrap();
    let response = within(response).await.unwrap();
    assert_eq!(response.headers()[STATUS], "5");
    assert!(response.into_body().is_end_stream());
}

#[tokio::test]
async fn messages_go_both_ways_as_they_come() {
    let server = Server::scripted(|mut asked| async move {
        let mut out = asked.echo().await;
        out.send_trailers(trailers("0")).unwrap();
    })
    .await;
    let proxy = Proxy::of(vec![http2(&[server.address])]).await;
    let client = GoodClient::to(&proxy).await;
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, mut out) = sender.send_request(call("/a.B/C").body(()).unwrap(), false).unwrap();
    let mut incoming = within(response).await.unwrap().into_body();
    for message in ["one", "two", "three"] {
        out.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
        assert_eq!(within(incoming.data()).await.unwrap().unwrap(), message);
    }
    out.send_data(Bytes::new(), true).unwrap();
    assert!(within(incoming.data()).await.is_none());
    assert_eq!(within(incoming.trailers()).await.unwrap(), Some(trailers("0")));
}

#[tokio::test]
async fn our_own_errors_are_told_as_statuses() {
    let stalled = Server::scripted(|asked| async move {
        let _asked = asked;
        std::future::pending::<()>().await;
    })
    .await;
    let hurried = service("web", &[stalled.address], |service| {
        service.protocol = ServiceProtocol::Http2;
        service.timeouts.request = tokio::time::Duration::from_millis(200);
    });
    for (service, timeout, expected) in [
        (web(&[]), None, "14"),
        (http2(&[refusing()]), None, "14"),
        (hurried.clone(), None, "14"),
        (hurried, Some("100m"), "4"),
    ] {
        let proxy = Proxy::of(vec![service]).await;
        let mut call = call("/a.B/C");
        if let Some(timeout) = timeout {
            call = call.header("grpc-timeout", timeout);
        }
        let client = GoodClient::to(&proxy).await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, _out) = sender.send_request(call.body(()).unwrap(), true).unwrap();
        let answer = answer(response).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.field(STATUS)), (200, Some(expected)));
        assert!(answer.field("grpc-message").is_some_and(|message| message.contains('(')));
        assert!(answer.body.is_empty());
    }
}
