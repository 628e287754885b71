//! An entry of the section `listeners`.

use weir_proto::{Listener, v1};

use crate::{
    document::{
        fields::{Context, Fields, Path},
        tls::listener_tls,
        words::LISTENER_PROTOCOL,
    },
    yaml::Node,
};

pub(super) fn listener(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Listener> {
    let before = context.problems();
    let mut fields = Fields::of(context, node, path)?;
    let listener = v1::Listener {
        name: fields.required_text("name"),
        address: fields.required_text("address"),
        limits: fields.nested("limits", limits),
        protocol: fields.word("protocol", &LISTENER_PROTOCOL),
        tls: fields.nested("tls", listener_tls),
    };
    fields.finish();
    context.check(before, path, node.at, Listener::try_from(listener.clone()));
    Some(listener)
}

fn limits(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::ListenerLimits> {
    let mut fields = Fields::of(context, node, path)?;
    let limits = v1::ListenerLimits {
        max_connections: fields.number("max_connections"),
        max_header_bytes: fields.size("max_header_bytes"),
        max_headers: fields.number("max_headers"),
        header_timeout: fields.duration("header_timeout"),
        idle_timeout: fields.duration("idle_timeout"),
        body_idle_timeout: fields.duration("body_idle_timeout"),
        max_concurrent_streams: fields.number("max_concurrent_streams"),
        max_request_body_bytes: fields.large_size("max_request_body_bytes"),
        min_request_body_rate: fields.size("min_request_body_rate"),
        send_timeout: fields.duration("send_timeout"),
        max_request_line_bytes: fields.size("max_request_line_bytes"),
    };
    fields.finish();
    Some(limits)
}
