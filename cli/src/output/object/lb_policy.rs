//! How a service is balanced, as it is written in a file.

use serde_json::{Value, json};
use weir_proto::v1::{self, lb_policy::Policy};

use super::{compact, duration};

pub(super) fn lb_policy(policy: &v1::LbPolicy) -> Value {
    match &policy.policy {
        None => json!({}),
        Some(Policy::RoundRobin(v1::RoundRobin {})) => json!({ "round_robin": {} }),
        Some(Policy::LeastRequest(p)) => {
            json!({ "least_request": compact(json!({ "choice_count": p.choice_count })) })
        }
        Some(Policy::PeakEwma(p)) => {
            json!({ "peak_ewma": compact(json!({ "decay": duration(p.decay.as_ref()) })) })
        }
        Some(Policy::Random(v1::Random {})) => json!({ "random": {} }),
        Some(Policy::RingHash(p)) => json!({ "ring_hash": ring_hash(p) }),
        Some(Policy::Maglev(p)) => json!({ "maglev": maglev(p) }),
        Some(Policy::ClientSideWeightedRoundRobin(p)) => {
            json!({ "client_side_weighted_round_robin": reported_load(p) })
        }
    }
}

fn ring_hash(policy: &v1::RingHash) -> Value {
    compact(json!({
        "hash_keys": hash_keys(&policy.hash_keys),
        "minimum_ring_size": policy.minimum_ring_size,
        "maximum_ring_size": policy.maximum_ring_size,
        "hash_balance_factor": policy.hash_balance_factor,
    }))
}

fn maglev(policy: &v1::Maglev) -> Value {
    compact(json!({
        "hash_keys": hash_keys(&policy.hash_keys),
        "table_size": policy.table_size,
        "hash_balance_factor": policy.hash_balance_factor,
    }))
}

fn reported_load(policy: &v1::ClientSideWeightedRoundRobin) -> Value {
    compact(json!({
        "blackout_period": duration(policy.blackout_period.as_ref()),
        "weight_expiration_period": duration(policy.weight_expiration_period.as_ref()),
        "weight_update_period": duration(policy.weight_update_period.as_ref()),
        "error_utilization_penalty": policy.error_utilization_penalty,
    }))
}

fn hash_keys(keys: &[v1::HashKey]) -> Option<Vec<Value>> {
    (!keys.is_empty()).then(|| keys.iter().map(hash_key).collect())
}

fn hash_key(key: &v1::HashKey) -> Value {
    use v1::hash_key::Key;
    match &key.key {
        None => json!({}),
        Some(Key::Header(name)) => json!({ "header": name }),
        Some(Key::Cookie(cookie)) => {
            json!({ "cookie": compact(json!({ "name": cookie.name, "ttl": duration(cookie.ttl.as_ref()) })) })
        }
        Some(Key::ClientAddress(on)) => json!({ "client_address": on }),
        Some(Key::QueryParameter(name)) => json!({ "query_parameter": name }),
        Some(Key::Path(on)) => json!({ "path": on }),
    }
}
