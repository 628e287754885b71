//! An entry of the section `services`, with the backends in it.

use weir_proto::{Service, v1};

use crate::{
    document::{
        backend::backend,
        care::{fault_injection, hedge_policy, mirror, session_affinity, slow_start, zone_aware},
        fields::{Context, Fields, Path},
        health_check::{health_check, outlier_detection},
        lb_policy::lb_policy,
        limits::{adaptive_concurrency, circuit_breakers, rate_limit, response_limits},
        retry::{retry_policy, timeouts},
        tls::service_tls,
        words::SERVICE_PROTOCOL,
    },
    yaml::Node,
};

pub(super) fn service(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<(v1::Service, Vec<v1::Backend>)> {
    let before = context.problems();
    let mut fields = Fields::of(context, node, path)?;
    let service = v1::Service {
        name: fields.required_text("name"),
        lb_policy: fields.nested("lb_policy", lb_policy),
        timeouts: fields.nested("timeouts", timeouts),
        retry_policy: fields.nested("retry_policy", retry_policy),
        protocol: fields.word("protocol", &SERVICE_PROTOCOL),
        tls: fields.nested("tls", service_tls),
        health_check: fields.nested("health_check", health_check),
        outlier_detection: fields.nested("outlier_detection", outlier_detection),
        circuit_breakers: fields.nested("circuit_breakers", circuit_breakers),
        adaptive_concurrency: fields.nested("adaptive_concurrency", adaptive_concurrency),
        rate_limits: fields.list("rate_limits", rate_limit),
        hedge_policy: fields.nested("hedge_policy", hedge_policy),
        fault_injection: fields.nested("fault_injection", fault_injection),
        mirror: fields.nested("mirror", mirror),
        session_affinity: fields.nested("session_affinity", session_affinity),
        slow_start: fields.nested("slow_start", slow_start),
        zone_aware: fields.nested("zone_aware", zone_aware),
        healthy_panic_threshold: fields.number("healthy_panic_threshold"),
        overprovisioning_factor: fields.number("overprovisioning_factor"),
        response_limits: fields.nested("response_limits", response_limits),
    };
    // A bad name is the service's own fault; its backends are checked as if it had a good one.
    let name =
        if weir_proto::ServiceName::try_from(service.name.as_str()).is_ok() { &service.name } else { "x" };
    let checked = Service::try_from(service.clone());
    fields.context.check(before, path, node.at, checked);
    let backends = fields.list("backends", |context, node, path| backend(context, node, path, name));
    fields.finish();
    Some((service, backends))
}
