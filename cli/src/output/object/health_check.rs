//! How a service's backends are found to be well or not, as it is written in a file.

use serde_json::{Map, Value, json};
use weir_proto::v1::{self, health_check::Probe};

use super::{compact, duration, said};

pub(super) fn health_check(check: &v1::HealthCheck) -> Value {
    let (http, tcp, grpc) = match &check.probe {
        Some(Probe::Http(probe)) => (Some(http(probe)), None, None),
        Some(Probe::Tcp(v1::TcpProbe {})) => (None, Some(json!({})), None),
        Some(Probe::Grpc(probe)) => (None, None, Some(compact(json!({ "service": said(&probe.service) })))),
        None => (None, None, None),
    };
    compact(json!({
        "http": http,
        "tcp": tcp,
        "grpc": grpc,
        "interval": duration(check.interval.as_ref()),
        "timeout": duration(check.timeout.as_ref()),
        "unhealthy_threshold": check.unhealthy_threshold,
        "healthy_threshold": check.healthy_threshold,
        "interval_jitter_percent": check.interval_jitter_percent,
        "unhealthy_interval": duration(check.unhealthy_interval.as_ref()),
        "port": check.port,
    }))
}

pub(super) fn outlier_detection(o: &v1::OutlierDetection) -> Value {
    compact(json!({
        "disabled": o.disabled.then_some(true),
        "consecutive_5xx": o.consecutive_5xx,
        "consecutive_gateway_failure": o.consecutive_gateway_failure,
        "interval": duration(o.interval.as_ref()),
        "base_ejection_time": duration(o.base_ejection_time.as_ref()),
        "max_ejection_time": duration(o.max_ejection_time.as_ref()),
        "max_ejection_percent": o.max_ejection_percent,
        "success_rate_minimum_hosts": o.success_rate_minimum_hosts,
        "success_rate_request_volume": o.success_rate_request_volume,
        "success_rate_stdev_factor": o.success_rate_stdev_factor,
        "failure_percentage_threshold": o.failure_percentage_threshold,
        "failure_percentage_minimum_hosts": o.failure_percentage_minimum_hosts,
        "failure_percentage_request_volume": o.failure_percentage_request_volume,
    }))
}

fn http(probe: &v1::HttpProbe) -> Value {
    let headers: Map<_, _> = probe.headers.iter().map(|h| (h.name.clone(), json!(h.value))).collect();
    let statuses: Vec<_> = probe.expected_statuses.iter().copied().map(statuses).collect();
    compact(json!({
        "path": said(&probe.path),
        "host": said(&probe.host),
        "headers": (!headers.is_empty()).then_some(headers),
        "expected_statuses": (!statuses.is_empty()).then_some(statuses),
        "expected_body": said(&probe.expected_body),
    }))
}

fn statuses(range: v1::StatusRange) -> String {
    if range.start == range.end { range.start.to_string() } else { format!("{}-{}", range.start, range.end) }
}
