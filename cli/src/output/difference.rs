//! The outcome for an object, and the differences of its two forms: the same words for every command.

use serde_json::{Map, Value};
use weir_proto::v1;

use super::resource;

/// Differences that one line names.
const MOST_NAMED: usize = 5;

/// The sentence for the object that is called `object`: `changed backend web/a (weight: 1 -> 3)`.
pub(crate) fn became(kind: v1::ChangeKind, object: &str, differences: &[String]) -> String {
    let [became, _] = verbs(kind);
    told(became, kind, object, differences)
}

/// The same of a change that is not made: `would change backend web/a (weight: 1 -> 3)`.
pub(crate) fn would_become(kind: v1::ChangeKind, object: &str, differences: &[String]) -> String {
    let [_, would_become] = verbs(kind);
    told(would_become, kind, object, differences)
}

/// For a change that was made, and for one that was not.
fn verbs(kind: v1::ChangeKind) -> [&'static str; 2] {
    match kind {
        v1::ChangeKind::Created => ["created", "would create"],
        v1::ChangeKind::Updated => ["changed", "would change"],
        v1::ChangeKind::Deleted => ["deleted", "would delete"],
        v1::ChangeKind::Unchanged | v1::ChangeKind::Unspecified => ["unchanged", "would leave"],
    }
}

fn told(verb: &str, kind: v1::ChangeKind, object: &str, differences: &[String]) -> String {
    if kind != v1::ChangeKind::Updated || differences.is_empty() {
        return format!("{verb} {object}");
    }
    let named = differences.iter().take(MOST_NAMED).map(|line| line.trim_start().to_owned());
    let more = differences.len().saturating_sub(MOST_NAMED);
    let more = (more > 0).then(|| format!("and {more} more"));
    format!("{verb} {object} ({})", named.chain(more).collect::<Vec<_>>().join(", "))
}

/// A line for each field that differs between two forms of an object.
pub(crate) fn differences(before: Option<&v1::Resource>, after: Option<&v1::Resource>) -> Vec<String> {
    let side = |r: Option<&v1::Resource>| r.and_then(resource).map(|(_, value)| value);
    let mut lines = Vec::new();
    differ("", side(before).as_ref(), side(after).as_ref(), &mut lines);
    lines
}

/// A line for each field that differs: `  timeouts.request: 5s -> 10s`, `+ zone: b`, `- zone: a`.
fn differ(path: &str, before: Option<&Value>, after: Option<&Value>, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    let empty = Map::new();
    let map = |value: Option<&'_ Value>| match value {
        Some(Value::Object(map)) => Some(map.clone()),
        None => Some(empty.clone()),
        Some(_) => None,
    };
    if let (Some(b), Some(a), true) =
        (map(before), map(after), before.or(after).is_some_and(Value::is_object))
    {
        let mut keys: Vec<_> = b.keys().collect();
        keys.extend(a.keys().filter(|k| !b.contains_key(*k)));
        // What has nothing to set says all by being there: `lb_policy: { random: {} }`.
        match (keys.is_empty(), before, after) {
            (true, Some(_), None) => lines.push(format!("- {path}: {{}}")),
            (true, None, Some(_)) => lines.push(format!("+ {path}: {{}}")),
            _ => {}
        }
        for key in keys {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            differ(&inner, b.get(key), a.get(key), lines);
        }
        return;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    lines.push(match (before, after) {
        (Some(b), Some(a)) => format!("  {path}: {} -> {}", text(b), text(a)),
        (Some(b), None) => format!("- {path}: {}", text(b)),
        (None, Some(a)) => format!("+ {path}: {}", text(a)),
        (None, None) => return,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_nothing_to_set_is_listed_too() {
        let policy = |name: &str| json!({"lb_policy": {name: {}}});
        let mut lines = Vec::new();
        differ("", Some(&policy("random")), Some(&policy("least_request")), &mut lines);
        assert_eq!(lines, ["- lb_policy.random: {}", "+ lb_policy.least_request: {}"]);
    }

    #[test]
    fn only_what_differs_is_listed() {
        let before = json!({"name": "web", "timeouts": {"request": "5s", "connect": "1s"}});
        let after =
            json!({"name": "web", "timeouts": {"request": "10s"}, "retry_policy": {"num_retries": 2}});
        let mut lines = Vec::new();
        differ("", Some(&before), Some(&after), &mut lines);
        assert_eq!(
            lines,
            ["  timeouts.request: 5s -> 10s", "- timeouts.connect: 1s", "+ retry_policy.num_retries: 2"]
        );
    }

    #[test]
    fn what_became_of_an_object_is_said_in_one_way() {
        let backend = |weight, zone: &str| v1::Resource {
            resource: Some(v1::resource::Resource::Backend(v1::Backend {
                service: "web".into(),
                id: "a".into(),
                weight: Some(weight),
                zone: zone.into(),
                ..Default::default()
            })),
        };
        let said = |kind, before: Option<v1::Resource>, after: Option<v1::Resource>| {
            became(kind, "backend web/a", &differences(before.as_ref(), after.as_ref()))
        };
        assert_eq!(said(v1::ChangeKind::Created, None, Some(backend(1, ""))), "created backend web/a");
        assert_eq!(said(v1::ChangeKind::Deleted, Some(backend(1, "")), None), "deleted backend web/a");
        let same = said(v1::ChangeKind::Unchanged, Some(backend(1, "")), Some(backend(1, "")));
        assert_eq!(same, "unchanged backend web/a");
        let changed = said(v1::ChangeKind::Updated, Some(backend(1, "")), Some(backend(3, "b")));
        assert_eq!(changed, "changed backend web/a (weight: 1 -> 3, + zone: b)");
        let many: Vec<_> = (0..9).map(|n| format!("+ metadata.{n}: x")).collect();
        let changed = became(v1::ChangeKind::Updated, "backend web/a", &many);
        assert!(changed.ends_with("+ metadata.4: x, and 4 more)"), "{changed}");
        // Who owns it, or its lease, is no field of it.
        assert_eq!(became(v1::ChangeKind::Updated, "service web", &[]), "changed service web");
    }
}
