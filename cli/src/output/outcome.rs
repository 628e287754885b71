//! What became of a revision on each proxy.

use serde_json::{Value, json};
use weir_proto::v1::{self, Outcome};

use super::{State, Table, reference, timestamp, word};

/// What one proxy made of a revision, for programs.
pub(crate) fn proxy_outcome(proxy: &v1::ProxyOutcome) -> Value {
    json!({
        "id": proxy.proxy_id,
        "outcome": word(proxy.outcome().as_str_name(), "OUTCOME_"),
        "connected": proxy.connected,
        "acknowledged_revision": proxy.acknowledged_revision,
        "acknowledged_at": timestamp(proxy.acknowledged_at.as_ref()),
        "refused": refusals(&proxy.refused),
        "refused_elsewhere": refusals(&proxy.refused_elsewhere),
        "kept_out": (!proxy.kept_out.is_empty()).then_some(&proxy.kept_out),
    })
}

/// The proxies, each with what it refused: a row for each refusal.
pub(crate) fn outcomes<'a>(proxies: impl IntoIterator<Item = &'a v1::ProxyOutcome>) -> Table {
    let mut table = Table::new(&["PROXY", "REVISION", "OUTCOME", "REASON"], "no proxy is known");
    for proxy in proxies {
        let state = match proxy.outcome() {
            Outcome::Acknowledged => State::Good,
            Outcome::Refused | Outcome::KeptOut => State::Bad,
            Outcome::Pending | Outcome::Away | Outcome::Unspecified => State::Doubtful,
        };
        let outcome = word(proxy.outcome().as_str_name(), "OUTCOME_");
        let revision = match proxy.acknowledged_revision {
            0 => String::new(),
            revision => revision.to_string(),
        };
        let mut reasons: Vec<_> = proxy.refused.iter().map(refusal).collect();
        if reasons.is_empty() {
            reasons.push(proxy.kept_out.clone());
        }
        for reason in reasons {
            table.row([
                State::plain(&proxy.proxy_id),
                State::plain(&revision),
                state.cell(&outcome),
                State::plain(reason),
            ]);
        }
    }
    table
}

/// What a proxy could not realise, for programs.
pub(crate) fn refusals(refused: &[v1::Refused]) -> Value {
    refused
        .iter()
        .map(|r| json!({ "object": r.object.as_ref().map(reference), "field": r.field, "reason": r.reason }))
        .collect()
}

/// The same in a sentence: `listener web: address: in use`.
pub(crate) fn refusal(refused: &v1::Refused) -> String {
    let object = refused.object.as_ref().map(reference).unwrap_or_default();
    match refused.field.as_str() {
        "" => format!("{object}: {}", refused.reason),
        field => format!("{object}: {field}: {}", refused.reason),
    }
}
