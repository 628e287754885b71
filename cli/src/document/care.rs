//! What else a service may want for its clients, its backends and its requests.

use weir_proto::v1;

use crate::{
    document::fields::{Context, Fields, Path},
    yaml::Node,
};

pub(super) fn session_affinity(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::SessionAffinity> {
    let mut fields = Fields::of(context, node, path)?;
    let affinity = v1::SessionAffinity {
        cookie_name: fields.text("cookie_name"),
        ttl: fields.duration("ttl"),
        path: fields.text("path"),
    };
    fields.finish();
    Some(affinity)
}

pub(super) fn slow_start(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::SlowStart> {
    let mut fields = Fields::of(context, node, path)?;
    let start = v1::SlowStart {
        window: fields.duration("window"),
        aggression: fields.decimal("aggression"),
        min_weight_percent: fields.number("min_weight_percent"),
    };
    fields.finish();
    Some(start)
}

pub(super) fn zone_aware(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::ZoneAware> {
    let mut fields = Fields::of(context, node, path)?;
    let zone = v1::ZoneAware { min_backends: fields.number("min_backends") };
    fields.finish();
    Some(zone)
}

pub(super) fn hedge_policy(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::HedgePolicy> {
    let mut fields = Fields::of(context, node, path)?;
    let hedge = v1::HedgePolicy { delay: fields.duration("delay") };
    fields.finish();
    Some(hedge)
}

pub(super) fn fault_injection(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::FaultInjection> {
    let mut fields = Fields::of(context, node, path)?;
    let fault = v1::FaultInjection {
        delay_percent: fields.number("delay_percent").unwrap_or_default(),
        delay: fields.duration("delay"),
        abort_percent: fields.number("abort_percent").unwrap_or_default(),
        abort_status: fields.number("abort_status").unwrap_or_default(),
    };
    fields.finish();
    Some(fault)
}

pub(super) fn mirror(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Mirror> {
    let mut fields = Fields::of(context, node, path)?;
    let mirror = v1::Mirror { service: fields.required_text("service"), percent: fields.number("percent") };
    fields.finish();
    Some(mirror)
}
