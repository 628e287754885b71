//! A service as it is written in a file.

use serde_json::{Value, json};
use weir_proto::v1;

use super::{compact, duration, health_check, lb_policy, limits, said};
use crate::document::{RETRY_ON, SERVICE_PROTOCOL, written};

pub(super) fn service(service: &v1::Service) -> Value {
    compact(json!({
        "name": service.name,
        "lb_policy": service.lb_policy.as_ref().map(lb_policy::lb_policy),
        "timeouts": service.timeouts.as_ref().map(timeouts),
        "retry_policy": service.retry_policy.as_ref().map(retry_policy),
        "protocol": written(&SERVICE_PROTOCOL, service.protocol()),
        "tls": service.tls.as_ref().map(service_tls),
        "health_check": service.health_check.as_ref().map(health_check::health_check),
        "outlier_detection": service.outlier_detection.as_ref().map(health_check::outlier_detection),
        "circuit_breakers": service.circuit_breakers.as_ref().map(limits::circuit_breakers),
        "adaptive_concurrency": service.adaptive_concurrency.as_ref().map(limits::adaptive_concurrency),
        "rate_limits": limits::rate_limits(&service.rate_limits),
        "hedge_policy":
            service.hedge_policy.as_ref().map(|h| compact(json!({ "delay": duration(h.delay.as_ref()) }))),
        "fault_injection": service.fault_injection.as_ref().map(fault_injection),
        "mirror":
            service.mirror.as_ref().map(|m| compact(json!({ "service": m.service, "percent": m.percent }))),
        "session_affinity": service.session_affinity.as_ref().map(session_affinity),
        "slow_start": service.slow_start.as_ref().map(slow_start),
        "zone_aware": service.zone_aware.as_ref().map(|z| compact(json!({ "min_backends": z.min_backends }))),
        "healthy_panic_threshold": service.healthy_panic_threshold,
        "overprovisioning_factor": service.overprovisioning_factor,
        "response_limits": service.response_limits.as_ref().map(limits::response_limits),
    }))
}

fn timeouts(t: &v1::Timeouts) -> Value {
    compact(json!({
        "connect": duration(t.connect.as_ref()),
        "request": duration(t.request.as_ref()),
        "body_idle": duration(t.body_idle.as_ref()),
        "connection_idle": duration(t.connection_idle.as_ref()),
        "per_try": duration(t.per_try.as_ref()),
        "deadline_header": said(&t.deadline_header),
    }))
}

fn retry_policy(r: &v1::RetryPolicy) -> Value {
    let on: Vec<_> = r.retry_on().map(|on| written(&RETRY_ON, on)).collect();
    let codes = (!r.retriable_status_codes.is_empty()).then_some(&r.retriable_status_codes);
    compact(json!({
        "num_retries": r.num_retries,
        "retry_on": (!on.is_empty()).then_some(on),
        "retriable_status_codes": codes,
        "base_interval": duration(r.base_interval.as_ref()),
        "max_interval": duration(r.max_interval.as_ref()),
        "budget_percent": r.budget_percent,
        "min_retries_per_second": r.min_retries_per_second,
        "retry_non_idempotent": r.retry_non_idempotent.then_some(true),
    }))
}

fn service_tls(tls: &v1::ServiceTls) -> Value {
    let names = (!tls.subject_alt_names.is_empty()).then_some(&tls.subject_alt_names);
    compact(json!({
        "ca": said(&tls.ca_file),
        "server_name": said(&tls.server_name),
        "subject_alt_names": names,
        "certificate": said(&tls.certificate_file),
        "private_key": said(&tls.private_key_file),
    }))
}

fn fault_injection(fault: &v1::FaultInjection) -> Value {
    let unless_0 = |n: u32| (n > 0).then_some(n);
    compact(json!({
        "delay_percent": unless_0(fault.delay_percent),
        "delay": duration(fault.delay.as_ref()),
        "abort_percent": unless_0(fault.abort_percent),
        "abort_status": unless_0(fault.abort_status),
    }))
}

fn session_affinity(affinity: &v1::SessionAffinity) -> Value {
    compact(json!({
        "cookie_name": said(&affinity.cookie_name),
        "ttl": duration(affinity.ttl.as_ref()),
        "path": said(&affinity.path),
    }))
}

fn slow_start(start: &v1::SlowStart) -> Value {
    compact(json!({
        "window": duration(start.window.as_ref()),
        "aggression": start.aggression,
        "min_weight_percent": start.min_weight_percent,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_looks_as_in_a_file() {
        let service = v1::Service {
            name: "web".into(),
            lb_policy: Some(v1::LbPolicy {
                policy: Some(v1::lb_policy::Policy::RoundRobin(v1::RoundRobin {})),
            }),
            timeouts: Some(v1::Timeouts {
                request: Some(weir_proto::duration_to_wire(std::time::Duration::from_millis(1500))),
                ..Default::default()
            }),
            retry_policy: Some(v1::RetryPolicy {
                num_retries: Some(0),
                retry_on: vec![1],
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(
            super::service(&service).to_string(),
            "{\"name\":\"web\",\"lb_policy\":{\"round_robin\":{}},\"timeouts\":{\"request\":\"1500ms\"},\
                 \"retry_policy\":{\"num_retries\":0,\"retry_on\":[\"connect-failure\"]}}"
        );
    }
}
