//! Probes by gRPC, to a server made by hand.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use prost::Message;

use super::{
    super::grpc::{HealthCheckRequest, HealthCheckResponse, ServingStatus, framed},
    http2::serve,
    *,
};

/// What a server says to a call.
#[derive(Clone)]
struct Answer {
    status: u16,
    fields: Vec<(&'static str, &'static str)>,
    body: Bytes,
    /// None: the body is the end.
    trailers: Option<Vec<(&'static str, &'static str)>>,
}

fn answer(body: Bytes, trailers: Option<Vec<(&'static str, &'static str)>>) -> Answer {
    Answer { status: 200, fields: vec![("content-type", "application/grpc")], body, trailers }
}

/// What a server that works says.
fn says(status: ServingStatus) -> Answer {
    let message = HealthCheckResponse { status: status.into() };
    answer(framed(&message), Some(vec![("grpc-status", "0")]))
}

/// An answer without a message.
fn trailers_only(fields: &[(&'static str, &'static str)]) -> Answer {
    Answer { fields: fields.to_vec(), ..answer(Bytes::new(), None) }
}

/// Server of the service `shop`. Answers nothing to calls that are not by the book.
async fn serving(answer: Answer) -> Backend {
    Backend::scripted(move |stream, heads| {
        let answer = answer.clone();
        serve(stream, move |request: Request<h2::RecvStream>, mut respond| {
            let (answer, heads) = (answer.clone(), Arc::clone(&heads));
            async move {
                let (parts, mut incoming) = request.into_parts();
                let mut body = BytesMut::new();
                while let Some(Ok(piece)) = incoming.data().await {
                    body.extend_from_slice(&piece);
                }
                assert_eq!(body, framed(&HealthCheckRequest { service: "shop".into() }));
                heads.lock().unwrap().push(format!("{} {} {:?}", parts.method, parts.uri, parts.headers));
                let mut response = Response::builder().status(answer.status).body(()).unwrap();
                response.headers_mut().extend(map(&answer.fields));
                let ends = answer.body.is_empty() && answer.trailers.is_none();
                let mut out = respond.send_response(response, ends).unwrap();
                if !ends {
                    out.send_data(answer.body, answer.trailers.is_none()).unwrap();
                }
                if let Some(trailers) = answer.trailers {
                    out.send_trailers(map(&trailers)).unwrap();
                }
            }
        })
    })
    .await
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

pub(super) fn call() -> Question {
    question(Probe::Grpc { service: "shop".into() })
}

async fn asked(answer: Answer) -> Outcome {
    let backend = serving(answer).await;
    call().ask(backend.address).await
}

#[tokio::test]
async fn a_call_is_made_by_the_book_whatever_the_service_speaks() {
    let backend = serving(says(ServingStatus::Serving)).await;
    assert_eq!(call().ask(backend.address).await, Outcome::Passed);
    assert_eq!(over_http2(call()).ask(backend.address).await, Outcome::Passed);
    let expected = format!(
        "POST http://{}/grpc.health.v1.Health/Check {{\"user-agent\": \"weir-health-check/{}\", \
         \"content-type\": \"application/grpc\", \"te\": \"trailers\", \"grpc-timeout\": \"20000m\"}}",
        backend.address,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(*backend.heads.lock().unwrap(), [expected.clone(), expected]);
}

#[tokio::test]
async fn only_serving_is_healthy() {
    assert_eq!(asked(says(ServingStatus::NotServing)).await, failed("NOT_SERVING"));
    assert_eq!(asked(says(ServingStatus::ServiceUnknown)).await, failed("SERVICE_UNKNOWN"));
    assert_eq!(asked(says(ServingStatus::Unknown)).await, failed("UNKNOWN"));
    let strange = framed(&Strange { status: 77 });
    assert_eq!(asked(answer(strange, Some(vec![("grpc-status", "0")]))).await, failed("UNKNOWN"));
}

/// A status that nobody knows.
#[derive(Clone, PartialEq, Message)]
struct Strange {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[tokio::test]
async fn the_calls_own_status_comes_first() {
    let unimplemented = trailers_only(&[("content-type", "application/grpc"), ("grpc-status", "12")]);
    assert_eq!(asked(unimplemented).await, failed("gRPC status 12 UNIMPLEMENTED"));
    let late = Answer { trailers: Some(vec![("grpc-status", "5")]), ..says(ServingStatus::Serving) };
    assert_eq!(asked(late).await, failed("gRPC status 5 NOT_FOUND"));
    let strange = Answer { trailers: Some(vec![("grpc-status", "99")]), ..says(ServingStatus::Serving) };
    assert_eq!(asked(strange).await, failed("gRPC status 99"));
    let http = Answer { status: 404, ..says(ServingStatus::Serving) };
    assert_eq!(asked(http).await, failed("status 404"));
}

#[tokio::test]
async fn what_is_no_message_is_no_answer() {
    let good = framed(&HealthCheckResponse { status: ServingStatus::Serving.into() });
    let ok = || Some(vec![("grpc-status", "0")]);
    let compressed = [&[1], &good[1..]].concat();
    let longer = [&good[..], b"."].concat();
    let misnumbered = [&[0, 0, 0, 0, 3], &good[5..]].concat();
    for bad in [
        answer(good.clone(), None),
        answer(good.clone(), Some(vec![("a", "b")])),
        answer(good.clone(), Some(vec![("grpc-status", "ok")])),
        answer(good.slice(..good.len() - 1), ok()),
        answer(Bytes::new(), ok()),
        answer(compressed.into(), ok()),
        answer(longer.into(), ok()),
        answer(misnumbered.into(), ok()),
        answer(vec![0; 100_000].into(), ok()),
        trailers_only(&[("grpc-status", "0")]),
    ] {
        assert_eq!(asked(bad).await, failed("the answer is not valid gRPC"));
    }
}
