//! How a service's backends are found to be well or not: by probes, and by what requests meet.

use weir_proto::v1::{self, health_check::Probe};

use crate::{
    document::{
        fields::{Context, Fields, Path, scalar},
        lb_policy::empty,
    },
    yaml::Node,
};

pub(super) fn health_check(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::HealthCheck> {
    let mut fields = Fields::of(context, node, path)?;
    let probe = match fields.one_of(&["http", "tcp", "grpc"]) {
        Some("http") => fields.nested("http", http).map(Probe::Http),
        Some("tcp") => fields.nested("tcp", empty).map(|()| Probe::Tcp(v1::TcpProbe {})),
        Some(grpc) => fields.nested(grpc, self::grpc).map(Probe::Grpc),
        None => None,
    };
    let check = v1::HealthCheck {
        probe,
        interval: fields.duration("interval"),
        timeout: fields.duration("timeout"),
        unhealthy_threshold: fields.number("unhealthy_threshold"),
        healthy_threshold: fields.number("healthy_threshold"),
        interval_jitter_percent: fields.number("interval_jitter_percent"),
        unhealthy_interval: fields.duration("unhealthy_interval"),
        port: fields.number("port"),
    };
    fields.finish();
    Some(check)
}

pub(super) fn outlier_detection(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::OutlierDetection> {
    let mut fields = Fields::of(context, node, path)?;
    let detection = v1::OutlierDetection {
        disabled: fields.flag("disabled").unwrap_or_default(),
        consecutive_5xx: fields.number("consecutive_5xx"),
        consecutive_gateway_failure: fields.number("consecutive_gateway_failure"),
        interval: fields.duration("interval"),
        base_ejection_time: fields.duration("base_ejection_time"),
        max_ejection_time: fields.duration("max_ejection_time"),
        max_ejection_percent: fields.number("max_ejection_percent"),
        success_rate_minimum_hosts: fields.number("success_rate_minimum_hosts"),
        success_rate_request_volume: fields.number("success_rate_request_volume"),
        success_rate_stdev_factor: fields.number("success_rate_stdev_factor"),
        failure_percentage_threshold: fields.number("failure_percentage_threshold"),
        failure_percentage_minimum_hosts: fields.number("failure_percentage_minimum_hosts"),
        failure_percentage_request_volume: fields.number("failure_percentage_request_volume"),
    };
    fields.finish();
    Some(detection)
}

fn http(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::HttpProbe> {
    let mut fields = Fields::of(context, node, path)?;
    let probe = v1::HttpProbe {
        path: fields.text("path"),
        host: fields.text("host"),
        headers: fields
            .pairs("headers")
            .into_iter()
            .map(|(name, value)| v1::HeaderValue { name, value })
            .collect(),
        expected_statuses: fields.list("expected_statuses", statuses),
        expected_body: fields.text("expected_body"),
    };
    fields.finish();
    Some(probe)
}

fn grpc(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::GrpcProbe> {
    let mut fields = Fields::of(context, node, path)?;
    let probe = v1::GrpcProbe { service: fields.text("service") };
    fields.finish();
    Some(probe)
}

/// `404` or `200-399`.
fn statuses(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::StatusRange> {
    context.place(path, node.at);
    // The messages have two fields for what is one word here.
    for end in ["start", "end"] {
        context.place(&Path { wire: path.key(end).wire, ..path.clone() }, node.at);
    }
    let text = scalar(context, path, node)?;
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    if let (Ok(start), Ok(end)) = (start.trim().parse(), end.trim().parse()) {
        return Some(v1::StatusRange { start, end });
    }
    context.refuse(
        path,
        node.at,
        &format!("must be a status or a range of them, as 404 or 200-399, not {text:?}"),
    );
    None
}
