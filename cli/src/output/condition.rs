//! What proxies find of a backend, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};
use weir_proto::{
    duration_read,
    v1::{self, BackendCondition, EjectionState, HealthState},
};

use super::{State, word};
use crate::units;

/// What the fleet finds of a backend, in one cell: `healthy`, `2/3 unhealthy, 1/3 ejected`.
pub(crate) fn fleet_health(info: &v1::ObjectInfo) -> (String, Option<State>) {
    let conditions: Vec<_> = info.conditions.iter().filter_map(|c| c.condition.as_ref()).collect();
    // A proxy may have come or gone since the other number was counted.
    let all = (info.connected_proxies as usize).max(conditions.len());
    if all == 0 {
        return State::plain("");
    }
    let count = |is: &dyn Fn(&BackendCondition) -> bool| conditions.iter().filter(|c| is(c)).count();
    let out = count(&is_out);
    let groups = [
        (count(&|c| c.health() == HealthState::Unhealthy), "unhealthy"),
        (count(&is_ejected), "ejected"),
        (count(&|c| c.health() == HealthState::Degraded), "degraded"),
        (count(&|c| c.health() == HealthState::Unknown), "unknown"),
    ];
    let said = groups.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n}/{all} {what}"));
    let said: Vec<_> = said.collect();
    match said.as_slice() {
        [] => State::Good.cell("healthy"),
        _ if out == all => State::Bad.cell(said.join(", ")),
        _ => State::Doubtful.cell(said.join(", ")),
    }
}

/// Health with its story: `unhealthy 12s: connection refused`.
pub(crate) fn health(condition: &BackendCondition) -> (String, Option<State>) {
    let name = word(condition.health().as_str_name(), "HEALTH_STATE_");
    let since = rough(condition.health_for).map(|time| format!(" {time}")).unwrap_or_default();
    let why = match condition.health_reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    match condition.health() {
        HealthState::Healthy => State::Good.cell("healthy"),
        HealthState::Unspecified => State::plain(""),
        HealthState::Unhealthy => State::Bad.cell(format!("{name}{since}{why}")),
        HealthState::Unknown | HealthState::Degraded => State::Doubtful.cell(format!("{name}{since}{why}")),
    }
}

/// Ejection with its story: `ejected 10s, 20s left: consecutive_5xx`.
pub(crate) fn ejection(condition: &BackendCondition) -> (String, Option<State>) {
    let since = rough(condition.ejected_for).map(|time| format!(" {time}")).unwrap_or_default();
    let left = rough(condition.ejection_left).map(|time| format!(", {time} left")).unwrap_or_default();
    let why = match condition.ejection_reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    match condition.ejection() {
        EjectionState::Unspecified | EjectionState::None => State::plain(""),
        EjectionState::Ejected => State::Bad.cell(format!("ejected{since}{left}{why}")),
        EjectionState::Probation => State::Doubtful.cell(format!("probation{why}")),
    }
}

/// A condition for programs.
pub(crate) fn condition(condition: &BackendCondition) -> Value {
    json!({
        "backend": condition.backend,
        "health": word(condition.health().as_str_name(), "HEALTH_STATE_"),
        "health_reason": condition.health_reason,
        "health_for": exact(condition.health_for),
        "ejection": word(condition.ejection().as_str_name(), "EJECTION_STATE_"),
        "ejection_reason": condition.ejection_reason,
        "ejected_for": exact(condition.ejected_for),
        "ejection_left": exact(condition.ejection_left),
        "in_flight": condition.in_flight,
    })
}

/// A condition with the proxy that found it, for programs.
pub(crate) fn proxy_condition(found: &v1::ProxyCondition) -> Value {
    let mut value = found.condition.as_ref().map_or_else(|| json!({}), condition);
    value["proxy"] = json!(found.proxy_id);
    value
}

/// To the millisecond, so that it reads back.
pub(crate) fn exact(time: Option<prost_types::Duration>) -> Option<String> {
    let millis = u64::try_from(duration_read(time?)?.as_millis()).ok()?;
    Some(units::duration_text(Duration::from_millis(millis)))
}

/// As people say it: `850ms`, `12s`, `3m20s`, `2h5m`, `3d4h`.
fn rough(time: Option<prost_types::Duration>) -> Option<String> {
    let time = duration_read(time?)?;
    let seconds = time.as_secs();
    Some(match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    })
}

/// Whether this proxy sends it nothing, unless it has nobody better.
fn is_out(condition: &BackendCondition) -> bool {
    condition.health() == HealthState::Unhealthy || is_ejected(condition)
}

fn is_ejected(condition: &BackendCondition) -> bool {
    matches!(condition.ejection(), EjectionState::Ejected | EjectionState::Probation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(health: HealthState, ejection: EjectionState) -> BackendCondition {
        BackendCondition { health: health as i32, ejection: ejection as i32, ..Default::default() }
    }

    fn fleet(connected_proxies: u32, list: &[(HealthState, EjectionState)]) -> (String, Option<State>) {
        let conditions = list
            .iter()
            .map(|(h, e)| v1::ProxyCondition { proxy_id: "p".into(), condition: Some(with(*h, *e)) });
        let info =
            v1::ObjectInfo { connected_proxies, conditions: conditions.collect(), ..Default::default() };
        fleet_health(&info)
    }

    #[test]
    fn a_fleet_says_how_many_of_it_find_what() {
        use EjectionState::{Ejected, None as In};
        use HealthState::{Healthy, Unhealthy, Unknown};
        assert_eq!(fleet(0, &[]), (String::new(), None), "nobody looks");
        assert_eq!(fleet(3, &[]), ("healthy".into(), Some(State::Good)));
        let some = fleet(3, &[(Unhealthy, In), (Unhealthy, In), (Healthy, Ejected)]);
        assert_eq!(some, ("2/3 unhealthy, 1/3 ejected".into(), Some(State::Bad)), "nobody uses it");
        let both = fleet(3, &[(Unhealthy, Ejected)]);
        assert_eq!(
            both,
            ("1/3 unhealthy, 1/3 ejected".into(), Some(State::Doubtful)),
            "one proxy, two reasons"
        );
        assert_eq!(fleet(1, &[(Unknown, In), (Unknown, In)]).0, "2/2 unknown");
    }

    #[test]
    fn one_proxys_view_has_its_reason_and_since_when() {
        let seconds = |n| Some(prost_types::Duration { seconds: n, nanos: 0 });
        let sick = BackendCondition {
            health_reason: "connection refused".into(),
            health_for: seconds(200),
            ejection_reason: "consecutive_5xx".into(),
            ejected_for: seconds(10),
            ejection_left: seconds(7_500),
            ..with(HealthState::Unhealthy, EjectionState::Ejected)
        };
        assert_eq!(health(&sick).0, "unhealthy 3m20s: connection refused");
        assert_eq!(ejection(&sick).0, "ejected 10s, 2h5m left: consecutive_5xx");
        let well = with(HealthState::Healthy, EjectionState::None);
        assert_eq!((health(&well).0.as_str(), ejection(&well).0.as_str()), ("healthy", ""));
        assert_eq!(condition(&sick)["health_for"], "200s");
    }
}
