//! The gRPC server: the three services of `weir.v1`, health and reflection, on one socket.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{server::NamedService, transport::Server};
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
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(MOST_STREAMS)
        .add_service(RegistryServer::new(api.clone()).max_decoding_message_size(MOST_BYTES))
        .add_service(AdminServer::new(api.clone()).max_decoding_message_size(MOST_CONFIGURATION_BYTES))
        .add_service(DiscoveryServer::new(api).max_decoding_message_size(MOST_CONFIGURATION_BYTES))
        .add_service(health)
        .add_service(reflection)
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

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in SERVICES {
        reporter.set_service_status(name, status).await;
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Serve { server: "gRPC", reason: error.to_string() }
}
