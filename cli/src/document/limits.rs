//! Bounds on what is under way, on what comes, and on the size of answers.

use weir_proto::v1;

use crate::{
    document::fields::{Context, Fields, Path, spelled_out},
    yaml::{Node, Value},
};

/// Why there is no such bound.
const NO_MAX_CONNECTIONS: &str = "a service has no bound on connections in all: idle ones would count, and what one \
     worker of a proxy keeps is of no use to another, so it could be full of connections that nobody uses; use \
     `max_connections_per_backend`";

pub(super) fn circuit_breakers(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::CircuitBreakers> {
    let mut fields = Fields::of(context, node, path)?;
    let breakers = v1::CircuitBreakers {
        max_requests: fields.number("max_requests"),
        max_pending_requests: fields.number("max_pending_requests"),
        queue_timeout: fields.duration("queue_timeout"),
        max_requests_per_backend: fields.number("max_requests_per_backend"),
        max_connections_per_backend: fields.number("max_connections_per_backend"),
        consecutive_failures: fields.number("consecutive_failures"),
        open_time: fields.duration("open_time"),
        stall_grace: fields.duration("stall_grace"),
        max_requests_per_client: fields.number("max_requests_per_client"),
    };
    fields.refuse("max_connections", NO_MAX_CONNECTIONS);
    fields.finish();
    Some(breakers)
}

pub(super) fn adaptive_concurrency(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::AdaptiveConcurrency> {
    let mut fields = Fields::of(context, node, path)?;
    let adaptive = v1::AdaptiveConcurrency {
        min_limit: fields.number("min_limit"),
        max_limit: fields.number("max_limit"),
        sample_percentile: fields.number("sample_percentile"),
        update_interval: fields.duration("update_interval"),
        min_rtt_interval: fields.duration("min_rtt_interval"),
        min_rtt_samples: fields.number("min_rtt_samples"),
        buffer_percent: fields.number("buffer_percent"),
    };
    fields.finish();
    Some(adaptive)
}

pub(super) fn response_limits(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::ResponseLimits> {
    let mut fields = Fields::of(context, node, path)?;
    let limits = v1::ResponseLimits {
        max_header_bytes: fields.size("max_header_bytes"),
        max_headers: fields.number("max_headers"),
    };
    fields.finish();
    Some(limits)
}

/// An item of `rate_limits`, of a service or a route.
pub(super) fn rate_limit(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::RateLimit> {
    let mut fields = Fields::of(context, node, path)?;
    let limit = v1::RateLimit {
        requests: fields.required_number("requests"),
        per: fields.duration("per"),
        burst: fields.number("burst"),
        key: fields.nested("key", key),
        max_keys: fields.number("max_keys"),
    };
    fields.finish();
    Some(limit)
}

/// A mapping with one key; `client_address` may stand alone.
fn key(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::RateLimitKey> {
    use v1::rate_limit_key::Key;
    let node = spelled_out(context, path, node, &["client_address"], &Value::Text("true".to_owned()))?;
    let mut fields = Fields::of(context, &node, path)?;
    let key = match fields.one_of(&["client_address", "header"]) {
        Some("header") => Some(Key::Header(fields.text("header"))),
        Some(address) => fields.flag(address).map(Key::ClientAddress),
        None => None,
    };
    fields.finish();
    Some(v1::RateLimitKey { key })
}
