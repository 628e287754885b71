//! How long a service is waited for, and when another of its backends is tried.

use weir_proto::v1;

use crate::{
    document::{
        fields::{Context, Fields, Path, scalar, whole_number},
        words::RETRY_ON,
    },
    yaml::Node,
};

pub(super) fn timeouts(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Timeouts> {
    let mut fields = Fields::of(context, node, path)?;
    let timeouts = v1::Timeouts {
        connect: fields.duration("connect"),
        request: fields.duration("request"),
        body_idle: fields.duration("body_idle"),
        connection_idle: fields.duration("connection_idle"),
        per_try: fields.duration("per_try"),
        deadline_header: fields.text("deadline_header"),
    };
    fields.finish();
    Some(timeouts)
}

pub(super) fn retry_policy(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::RetryPolicy> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::RetryPolicy {
        num_retries: fields.number("num_retries"),
        retry_on: fields.list("retry_on", retry_on),
        retriable_status_codes: fields.list("retriable_status_codes", whole_number),
        base_interval: fields.duration("base_interval"),
        max_interval: fields.duration("max_interval"),
        budget_percent: fields.number("budget_percent"),
        min_retries_per_second: fields.number("min_retries_per_second"),
        retry_non_idempotent: fields.flag("retry_non_idempotent").unwrap_or_default(),
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
