//! The admin pages: whether the process lives, whether it serves, and its metrics.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text, registry::Registry as Counters};
use tokio_util::sync::CancellationToken;
use weir_proto::ObjectKind;

use crate::{Error, fleet::Fleet, incoming::Acceptor, metrics::Gauges, registry::Registry};

/// Admin connections at one time.
pub(crate) const MOST_CONNECTIONS: usize = 256;
/// From accepting a connection to the end of its only answer. Clients that say nothing, or do not read, must not keep
/// those out who ask whether the process is ready.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

const INDEX: &str = "\
weir-control-plane

/livez    200 while the process lives
/readyz   200 while it serves: the store is loaded, and nobody told it to stop
/metrics  in the Prometheus text format
";

/// What the pages show.
pub(crate) struct Admin {
    counters: Counters,
    gauges: Gauges,
    /// Absent until the store is loaded.
    serving: OnceLock<(Registry, Fleet)>,
    stopping: CancellationToken,
}

impl Admin {
    /// Pages of a process that does not serve yet; `stopping` is cancelled when it no longer does.
    pub(crate) fn new(mut counters: Counters, stopping: CancellationToken) -> Arc<Self> {
        let gauges = Gauges::new(&mut counters);
        Arc::new(Self { counters, gauges, serving: OnceLock::new(), stopping })
    }

    /// The store is loaded.
    pub(crate) fn ready(&self, registry: Registry, fleet: Fleet) {
        // There is one load in a process; another one would find the same.
        let _ = self.serving.set((registry, fleet));
    }

    fn refresh(&self) {
        let Some((registry, fleet)) = self.serving.get() else { return };
        let snapshot = registry.current();
        self.gauges.revision.set(snapshot.revision().0);
        for kind in ObjectKind::ALL {
            let gauge = self.gauges.objects.get_or_create_owned(&[("kind", kind.as_str())]);
            gauge.set(number(snapshot.count(kind)));
        }
        let (connected, behind) = fleet.count();
        self.gauges.live_leases.set(number(registry.live_leases()));
        self.gauges.overdue_leases.set(number(registry.overdue_leases()));
        self.gauges.self_preservation.set(registry.is_preserving().into());
        self.gauges.held_back_backends.set(number(registry.held_back_backends()));
        self.gauges.connected_proxies.set(number(connected));
        self.gauges.proxies_behind.set(number(behind));
        for (reason, count) in fleet.kept_out() {
            let gauge = self.gauges.kept_out_proxies.get_or_create_owned(&[("reason", reason)]);
            gauge.set(number(count));
        }
        for (word, count) in fleet.views().count() {
            self.gauges.conditions.get_or_create_owned(&[("condition", word)]).set(number(count));
        }
    }
}

/// Serves the pages until `stop` is cancelled.
pub(crate) async fn serve(
    admin: Arc<Admin>,
    acceptor: Acceptor,
    stop: CancellationToken,
) -> Result<(), Error> {
    let pages = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(map_response(only_answer))
        .with_state(admin);
    axum::serve(acceptor, pages)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(|e| Error::Serve { server: "admin", reason: e.to_string() })
}

/// Ends the connection after its first answer: one that is kept open would be cut at any moment.
async fn only_answer(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    if admin.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if admin.serving.get().is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "loading the store\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    admin.refresh();
    let mut text = String::new();
    match text::encode(&mut text, &admin.counters) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
