//! Probes by HTTP/2, to a server made by hand.

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::*;

/// Serves one connection by HTTP/2; each request is the script's.
pub(super) async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    script: impl Fn(Request<h2::RecvStream>, SendResponse<Bytes>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(script(request, respond));
    }
}

/// A backend that answers with a status and a body.
async fn answering(status: u16, body: &'static str) -> Backend {
    Backend::scripted(move |stream, heads| {
        serve(stream, move |request, mut respond| {
            let (heads, fields) = (Arc::clone(&heads), request.headers().clone());
            let asked = format!("{} {} {fields:?}", request.method(), request.uri());
            heads.lock().unwrap().push(asked);
            async move {
                let response = Response::builder().status(status).body(()).unwrap();
                let mut out = respond.send_response(response, false).unwrap();
                out.send_data(body.into(), true).unwrap();
            }
        })
    })
    .await
}

#[tokio::test]
async fn a_service_of_http_2_is_asked_by_http_2() {
    let backend = answering(200, "it is ok").await;
    let question = over_http2(http(|probe| {
        probe.path = "/healthcheck?full=1".into();
        probe.headers = vec![("x-probe".into(), "1".into())];
        probe.expected_body = "is ok".into();
    }));
    assert_eq!(question.ask(backend.address).await, Outcome::Passed);
    let named = over_http2(http(|probe| {
        probe.host = Some("shop.example".into());
        probe.headers = vec![("user-agent".into(), "me".into())];
    }));
    assert_eq!(named.ask(backend.address).await, Outcome::Passed);
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!(
            "GET http://{}/healthcheck?full=1 {{\"user-agent\": \"weir-health-check/{version}\", \
             \"x-probe\": \"1\"}}",
            backend.address
        ),
        "GET http://shop.example/ {\"user-agent\": \"me\"}".to_owned(),
    ];
    assert_eq!(*backend.heads.lock().unwrap(), expected);
}

#[tokio::test]
async fn status_and_body_decide_as_by_http_1() {
    let asked = |status, body| async move {
        let backend = answering(status, body).await;
        over_http2(http(|probe| probe.expected_body = "ok".into())).ask(backend.address).await
    };
    assert_eq!(asked(200, "all is ok").await, Outcome::Passed);
    assert_eq!(asked(200, "nothing is").await, failed("body lacks \"ok\""));
    assert_eq!(asked(429, "ok").await, Outcome::Loaded("status 429".into()));
    assert_eq!(asked(503, "ok").await, failed("status 503"));
}

/// Why one of them is not well.
async fn asked(backend: Backend) -> String {
    match over_http2(http(|_| ())).ask(backend.address).await {
        Outcome::Failed(reason) => reason,
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn one_that_resets_or_goes_away_or_speaks_something_else_has_not_answered() {
    let reset = Backend::scripted(|stream, _| {
        serve(stream, |_, mut respond| async move { respond.send_reset(Reason::INTERNAL_ERROR) })
    });
    let closing = Backend::closing("");
    let other = Backend::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let reason = asked(reset.await).await;
    assert!(reason.starts_with("HTTP/2: stream error received: "), "{reason}");
    let reason = asked(closing.await).await;
    assert!(reason.starts_with("connection ") || reason.starts_with("HTTP/2: "), "{reason}");
    let reason = asked(other.await).await;
    assert!(reason.starts_with("HTTP/2: connection error detected: "), "{reason}");
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_its_bound() {
    let backend = Backend::scripted(|stream, _| {
        serve(stream, |_, mut respond| async move {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            loop {
                out.reserve_capacity(10_000);
                match std::future::poll_fn(|cx| out.poll_capacity(cx)).await {
                    Some(Ok(room)) => out.send_data(vec![b'.'; room].into(), false).unwrap(),
                    _ => return,
                }
            }
        })
    })
    .await;
    let question = over_http2(http(|probe| probe.expected_body = "ok".into()));
    assert_eq!(question.ask(backend.address).await, failed("body lacks \"ok\""));
}
