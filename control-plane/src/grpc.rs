//! The gRPC server: the three services of `weir.v1`, health and reflection, on one socket.

use std::time::Duration;

use axum::{body::Body, extract::Request, middleware::map_request};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use weir_proto::v1::{
    self, admin_server::AdminServer, discovery_server::DiscoveryServer, registry_server::RegistryServer,
};

use crate::{Error, fleet::MOST_PROXIES, incoming::Acceptor, rpc::Api};

/// Clients at one time.
pub(crate) const MOST_CONNECTIONS: usize = 30_000;
/// Agents that send heartbeats at one time. With the proxies there may be (`fleet::MOST_PROXIES`) they leave some of the
/// connections to operators.
pub(crate) const MOST_HEARTBEATS: usize = 16_000;
const _: () = assert!(MOST_HEARTBEATS + MOST_PROXIES + 1_000 < MOST_CONNECTIONS);
/// The time that a call may be without its first message. Those of a stream that follow may take any time.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls at one time on one connection.
const MOST_STREAMS: u32 = 1_000;
/// Between two keepalives of HTTP/2, and how long the answer may take: so that a half-open connection is noticed.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));
/// The longest message of a backend or an agent: 10,000 leases need 90 KiB.
const MOST_BYTES: usize = 1 << 20;
/// The longest request of an operator, a whole configuration in one Apply, and the longest message of a proxy, which may
/// refuse as much.
const MOST_CONFIGURATION_BYTES: usize = 16 << 20;

/// Every service by name, for health; the empty name is the server as a whole.
const SERVICES: [&str; 4] =
    ["", RegistryServer::<Api>::NAME, AdminServer::<Api>::NAME, DiscoveryServer::<Api>::NAME];

/// Serves until `stopping` is cancelled and the calls in progress are done.
pub(crate) async fn serve(api: Api, acceptor: Acceptor, stopping: CancellationToken) -> Result<(), Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    report(&reporter, ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(failed)?;
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(RegistryServer::new(api.clone()).max_decoding_message_size(MOST_BYTES))
        .add_service(AdminServer::new(api.clone()).max_decoding_message_size(MOST_CONFIGURATION_BYTES))
        .add_service(DiscoveryServer::new(api).max_decoding_message_size(MOST_CONFIGURATION_BYTES))
        .add_service(health)
        .add_service(reflection);
    let routes = routes.routes().prepare().into_axum_router().layer(map_request(with_first_message_in_time));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(MOST_STREAMS)
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(acceptor.into_stream(), async {
            stopping.cancelled().await;
            report(&reporter, ServingStatus::NotServing).await;
            // Whoever watches would keep the server from ending.
            for name in SERVICES {
                reporter.clone().clear_service_status(name).await;
            }
        })
        .await
        .map_err(failed)
}

/// Has a call fail that never says a word: it would keep its place for ever.
async fn with_first_message_in_time(request: Request) -> Request {
    let (head, body) = request.into_parts();
    let pieces = stream::unfold((body.into_data_stream(), true), |(mut pieces, first)| async move {
        let next = if first {
            timeout(FIRST_MESSAGE_TIMEOUT, pieces.next()).await.unwrap_or_else(|_| {
                let late = format!("no message came within {FIRST_MESSAGE_TIMEOUT:?}");
                Some(Err(axum::Error::new(tonic::Status::deadline_exceeded(late))))
            })
        } else {
            pieces.next().await
        };
        next.map(|piece| (piece, (pieces, false)))
    });
    Request::from_parts(head, Body::from_stream(pieces))
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in SERVICES {
        reporter.set_service_status(name, status).await;
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Serve { server: "gRPC", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_never_says_a_word_fails_and_a_stream_may_be_silent_afterwards() {
        let silent = stream::pending::<Result<bytes::Bytes, axum::Error>>();
        let call = with_first_message_in_time(Request::new(Body::from_stream(silent))).await;
        let (begun, mut pieces) = (Instant::now(), call.into_body().into_data_stream());
        let late = pieces.next().await.expect("an end").expect_err("too late").to_string();
        assert!(late.contains("no message came within 10s"), "{late}");
        assert_eq!(begun.elapsed(), FIRST_MESSAGE_TIMEOUT);

        let first = stream::iter([Ok::<_, axum::Error>(bytes::Bytes::from_static(b"first"))]);
        let later = stream::once(async {
            tokio::time::sleep(Duration::from_hours(1)).await;
            Ok(bytes::Bytes::from_static(b"later"))
        });
        let body = Body::from_stream(first.chain(later));
        let pieces = with_first_message_in_time(Request::new(body)).await.into_body().into_data_stream();
        let pieces: Vec<_> = pieces.map(|piece| piece.expect("in time")).collect().await;
        assert_eq!(pieces, ["first", "later"]);
    }
}
