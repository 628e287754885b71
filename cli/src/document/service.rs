//! An entry of the section `services`, with the backends in it.

use weir_proto::{Service, v1};

use crate::{
    document::{
        backend::backend,
        fields::{Context, Fields, Path, scalar},
        tls::service_tls,
        words::{RETRY_ON, SERVICE_PROTOCOL},
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

fn lb_policy(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::LbPolicy> {
    let mut fields = Fields::of(context, node, path)?;
    let round_robin = fields.nested("round_robin", |context, node, path| {
        Fields::of(context, node, path)?.finish();
        Some(v1::RoundRobin {})
    });
    fields.finish();
    Some(v1::LbPolicy { policy: round_robin.map(v1::lb_policy::Policy::RoundRobin) })
}

fn timeouts(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Timeouts> {
    let mut fields = Fields::of(context, node, path)?;
    let timeouts = v1::Timeouts {
        connect: fields.duration("connect"),
        request: fields.duration("request"),
        body_idle: fields.duration("body_idle"),
        connection_idle: fields.duration("connection_idle"),
    };
    fields.finish();
    Some(timeouts)
}

fn retry_policy(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::RetryPolicy> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::RetryPolicy {
        num_retries: fields.number("num_retries"),
        retry_on: fields.list("retry_on", retry_on),
    };
    fields.finish();
    Some(policy)
}

fn retry_on(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<i32> {
    context.place(path, node.at);
    let text = scalar(context, path, node)?;
    let known = RETRY_ON.iter().find(|(name, _)| *name == text);
    if known.is_none() {
        let names = RETRY_ON.map(|(name, _)| name).join(", ");
        context.refuse(path, node.at, &format!("must be one of {names}, not {text:?}"));
    }
    known.map(|(_, on)| *on as i32)
}
