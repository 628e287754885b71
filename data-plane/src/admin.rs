//! What the proxy tells whoever operates it, on an address of its own: health, metrics, and the table in force.

mod backends;
mod incoming;
mod view;

use std::{
    borrow::Cow,
    sync::{Arc, Weak},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::{net::TcpListener, sync::watch};

use self::incoming::Incoming;
use crate::{
    admission::Shed,
    discovery::Link,
    lifecycle::{Phase, is_ready},
    metrics::{Backends, ConfigMetrics, LimitsInUse, Tls, Traffic},
    table::{Applied, SharedTable},
    worker::Workers,
};

const INDEX: &str = "\
weir-data-plane

/livez     200 while the process lives
/readyz    200 while it should get traffic
/metrics   for Prometheus
/config    the table in force, as JSON
/backends  every backend with its states, for people
";

/// Where the answers come from.
#[derive(Debug)]
pub(crate) struct Admin {
    table: Arc<SharedTable>,
    /// A connection that is kept open here must not keep the workers of a proxy that has ended.
    workers: Weak<Workers>,
    told: Told,
    metrics: Registry,
}

/// What is told from moment to moment.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) applied: watch::Receiver<Applied>,
    pub(crate) link: watch::Receiver<Link>,
    /// Why what is in force is not on disk.
    pub(crate) no_copy: watch::Receiver<Option<String>>,
}

impl Admin {
    pub(crate) fn new(
        table: &Arc<SharedTable>,
        workers: &Arc<Workers>,
        shed: &Arc<Shed>,
        told: Told,
        config_metrics: &ConfigMetrics,
    ) -> Self {
        let mut metrics = Registry::with_prefix("weir_proxy");
        config_metrics.describe(&mut metrics);
        metrics.register_collector(Box::new(Traffic {
            table: Arc::clone(table),
            workers: Arc::downgrade(workers),
            link: told.link.clone(),
        }));
        metrics.register_collector(Box::new(Backends { table: Arc::clone(table) }));
        metrics
            .register_collector(Box::new(LimitsInUse { table: Arc::clone(table), shed: Arc::clone(shed) }));
        metrics.register_collector(Box::new(Tls { table: Arc::clone(table), applied: told.applied.clone() }));
        Self { table: Arc::clone(table), workers: Arc::downgrade(workers), told, metrics }
    }
}

/// Answers for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, admin: Admin) {
    let router = Router::new()
        .route("/", get(async || INDEX))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/backends", get(backends))
        .layer(map_response(only_answer))
        .with_state(Arc::new(admin));
    if let Err(e) = axum::serve(Incoming::new(listener), router).await {
        tracing::error!("the admin address answers no more: {e}; traffic goes on");
    }
}

/// Ends the connection after its first answer: one that is kept open would be cut at any moment.
async fn only_answer(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, Cow<'static, str>) {
    let phase = *admin.told.phase.borrow();
    let applied = admin.told.applied.borrow();
    if is_ready(phase, &applied) {
        let no_copy = admin.told.no_copy.borrow();
        let text = no_copy.as_ref().map(|why| Cow::Owned(format!("ok, without a copy on disk: {why}\n")));
        return (StatusCode::OK, text.unwrap_or(Cow::Borrowed("ok\n")));
    }
    let why = match phase {
        Phase::Draining => "draining\n",
        Phase::Serving if applied.position.is_none() => "no configuration yet\n",
        Phase::Serving => "no address is open\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, why.into())
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match text::encode(&mut text, &admin.metrics) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(e) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{e}\n"))
        }
    }
}

async fn backends(State(admin): State<Arc<Admin>>) -> String {
    backends::backends(admin.table.load_full().as_deref())
}

async fn config(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let table = admin.table.load_full();
    let in_flight = admin.workers.upgrade().map_or(0, |workers| workers.in_flight());
    let view = view::View::new(table.as_deref(), &admin.told, in_flight);
    match serde_json::to_string_pretty(&view) {
        Ok(json) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], json + "\n"),
        Err(e) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{e}\n"))
        }
    }
}
