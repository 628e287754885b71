//! Bounds on what is under way, on what comes, and on the size of answers, as they are written in a file.

use serde_json::{Value, json};
use weir_proto::v1;

use super::{compact, duration};
use crate::units;

pub(super) fn circuit_breakers(b: &v1::CircuitBreakers) -> Value {
    compact(json!({
        "max_requests": b.max_requests,
        "max_pending_requests": b.max_pending_requests,
        "queue_timeout": duration(b.queue_timeout.as_ref()),
        "max_requests_per_backend": b.max_requests_per_backend,
        "max_connections_per_backend": b.max_connections_per_backend,
        "consecutive_failures": b.consecutive_failures,
        "open_time": duration(b.open_time.as_ref()),
        "stall_grace": duration(b.stall_grace.as_ref()),
        "max_requests_per_client": b.max_requests_per_client,
    }))
}

pub(super) fn adaptive_concurrency(a: &v1::AdaptiveConcurrency) -> Value {
    compact(json!({
        "min_limit": a.min_limit,
        "max_limit": a.max_limit,
        "sample_percentile": a.sample_percentile,
        "update_interval": duration(a.update_interval.as_ref()),
        "min_rtt_interval": duration(a.min_rtt_interval.as_ref()),
        "min_rtt_samples": a.min_rtt_samples,
        "buffer_percent": a.buffer_percent,
    }))
}

pub(super) fn response_limits(l: &v1::ResponseLimits) -> Value {
    compact(json!({
        "max_header_bytes": l.max_header_bytes.map(|n| units::size_text(n.into())),
        "max_headers": l.max_headers,
    }))
}

/// Of a service or a route.
pub(in crate::output) fn rate_limits(limits: &[v1::RateLimit]) -> Option<Vec<Value>> {
    (!limits.is_empty()).then(|| limits.iter().map(rate_limit).collect())
}

fn rate_limit(limit: &v1::RateLimit) -> Value {
    use v1::rate_limit_key::Key;
    let key = limit.key.as_ref().map(|key| match &key.key {
        None => json!({}),
        Some(Key::ClientAddress(on)) => json!({ "client_address": on }),
        Some(Key::Header(name)) => json!({ "header": name }),
    });
    compact(json!({
        "requests": limit.requests,
        "per": duration(limit.per.as_ref()),
        "burst": limit.burst,
        "key": key,
        "max_keys": limit.max_keys,
    }))
}
