//! How a service is balanced: a mapping with one policy, or its name alone.

use weir_proto::v1::{self, lb_policy::Policy};

use crate::{
    document::fields::{Context, Fields, Path, spelled_out},
    yaml::{Node, Value},
};

/// The policies by the names of their fields in the messages.
const POLICIES: [&str; 7] = [
    "round_robin",
    "least_request",
    "peak_ewma",
    "random",
    "ring_hash",
    "maglev",
    "client_side_weighted_round_robin",
];

/// What may be hashed.
const HASH_KEYS: [&str; 5] = ["header", "cookie", "client_address", "query_parameter", "path"];

pub(super) fn lb_policy(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::LbPolicy> {
    let node = spelled_out(context, path, node, &POLICIES, &Value::Null)?;
    let mut fields = Fields::of(context, &node, path)?;
    let policy = match fields.one_of(&POLICIES) {
        Some("round_robin") => {
            fields.nested("round_robin", empty).map(|()| Policy::RoundRobin(v1::RoundRobin {}))
        }
        Some("least_request") => fields.nested("least_request", least_request).map(Policy::LeastRequest),
        Some("peak_ewma") => fields.nested("peak_ewma", peak_ewma).map(Policy::PeakEwma),
        Some("random") => fields.nested("random", empty).map(|()| Policy::Random(v1::Random {})),
        Some("ring_hash") => fields.nested("ring_hash", ring_hash).map(Policy::RingHash),
        Some("maglev") => fields.nested("maglev", maglev).map(Policy::Maglev),
        Some(reported) => fields.nested(reported, reported_load).map(Policy::ClientSideWeightedRoundRobin),
        None => None,
    };
    fields.finish();
    Some(v1::LbPolicy { policy })
}

/// What has no settings.
pub(super) fn empty(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<()> {
    Fields::of(context, node, path)?.finish();
    Some(())
}

fn least_request(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::LeastRequest> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::LeastRequest { choice_count: fields.number("choice_count") };
    fields.finish();
    Some(policy)
}

fn peak_ewma(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::PeakEwma> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::PeakEwma { decay: fields.duration("decay") };
    fields.finish();
    Some(policy)
}

fn ring_hash(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::RingHash> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::RingHash {
        hash_keys: fields.list("hash_keys", hash_key),
        minimum_ring_size: fields.number("minimum_ring_size"),
        maximum_ring_size: fields.number("maximum_ring_size"),
        hash_balance_factor: fields.number("hash_balance_factor"),
    };
    fields.finish();
    Some(policy)
}

fn maglev(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Maglev> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::Maglev {
        hash_keys: fields.list("hash_keys", hash_key),
        table_size: fields.number("table_size"),
        hash_balance_factor: fields.number("hash_balance_factor"),
    };
    fields.finish();
    Some(policy)
}

fn reported_load(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
) -> Option<v1::ClientSideWeightedRoundRobin> {
    let mut fields = Fields::of(context, node, path)?;
    let policy = v1::ClientSideWeightedRoundRobin {
        blackout_period: fields.duration("blackout_period"),
        weight_expiration_period: fields.duration("weight_expiration_period"),
        weight_update_period: fields.duration("weight_update_period"),
        error_utilization_penalty: fields.number("error_utilization_penalty"),
    };
    fields.finish();
    Some(policy)
}

/// A mapping with one key; `client_address` and `path` may stand alone.
fn hash_key(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::HashKey> {
    use v1::hash_key::Key;
    let node =
        spelled_out(context, path, node, &["client_address", "path"], &Value::Text("true".to_owned()))?;
    let mut fields = Fields::of(context, &node, path)?;
    let key = match fields.one_of(&HASH_KEYS) {
        Some("header") => Some(Key::Header(fields.text("header"))),
        Some("cookie") => fields.nested("cookie", cookie).map(Key::Cookie),
        Some("client_address") => fields.flag("client_address").map(Key::ClientAddress),
        Some("query_parameter") => Some(Key::QueryParameter(fields.text("query_parameter"))),
        Some(path) => fields.flag(path).map(Key::Path),
        None => None,
    };
    fields.finish();
    Some(v1::HashKey { key })
}

fn cookie(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::HashCookie> {
    let mut fields = Fields::of(context, node, path)?;
    let cookie = v1::HashCookie { name: fields.required_text("name"), ttl: fields.duration("ttl") };
    fields.finish();
    Some(cookie)
}
