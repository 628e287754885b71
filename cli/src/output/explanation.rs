//! What a proxy would do with a request, as an answer for people and as a value for programs.

use serde_json::{Value, json};
use weir_proto::v1;

use super::{
    Lines, State, Table,
    condition::{self, ejection, exact, health},
};

/// From this share of a limit on it is worth a look, in percent.
const NEAR: u64 = 80;

/// Everything, for programs.
pub(crate) fn value(request: &str, proxy: &str, e: &v1::Explanation) -> Value {
    let candidates: Vec<_> = e
        .candidates
        .iter()
        .map(|c| {
            let mut value = c.condition.as_ref().map_or_else(|| json!({}), condition::condition);
            value["usable"] = json!(c.usable);
            value["why"] = json!(c.why);
            value["weight"] = json!(c.weight);
            value["priority"] = json!(c.priority);
            value["zone"] = json!(c.zone);
            value["latency"] = json!(exact(c.latency));
            value
        })
        .collect();
    let limits: Vec<_> =
        e.limits.iter().map(|l| json!({ "setting": l.setting, "used": l.used, "limit": l.limit })).collect();
    let said = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "request": request,
        "proxy": proxy,
        "revision": e.revision,
        "outcome": e.outcome,
        "status": (e.status != 0).then_some(e.status),
        "sentence": e.sentence,
        "route": said(&e.route),
        "service": said(&e.service),
        "lb_policy": said(&e.lb_policy),
        "pick": said(&e.pick),
        "panic": e.panic,
        "candidates": candidates,
        "omitted": e.omitted,
        "limits": limits,
    })
}

/// The answer first, then what it comes of.
pub(crate) fn people(request: &str, proxy: &str, e: &v1::Explanation, colored: bool) -> Lines {
    let mut parts = Lines::from(request).and(verdict(e));
    if e.panic {
        parts = parts.and_apart(
            "PANIC: too few backends are usable, so health and ejection are ignored: requests go to all of \
             them, also to those that fail",
        );
    }
    let mut about = vec![format!("proxy    {proxy}, at revision {}", e.revision)];
    if !e.route.is_empty() {
        about.push(format!("route    {}", e.route));
    }
    if !e.service.is_empty() {
        let policy = if e.lb_policy.is_empty() { String::new() } else { format!(", {}", e.lb_policy) };
        about.push(format!("service  {}{policy}", e.service));
    }
    parts = parts.and_apart(about);
    if !e.candidates.is_empty() {
        parts = parts.and_apart(candidates(&e.candidates).render(colored));
        if e.omitted > 0 {
            parts.add(format!("... and {} more", e.omitted));
        }
    }
    if !e.limits.is_empty() {
        parts = parts.and_apart(limits(&e.limits).render(colored));
    }
    parts
}

/// One line: what would become of it.
fn verdict(e: &v1::Explanation) -> String {
    if e.outcome != "ok" {
        let why = if e.sentence.is_empty() { String::new() } else { format!(" - {}", e.sentence) };
        let status = if e.status == 0 { String::new() } else { format!("{} ", e.status) };
        // Not everything that a proxy answers itself is a refusal.
        let verb = if e.status < 400 { "answered by the proxy itself" } else { "refused" };
        return format!("would be {verb}: {status}{}{why}", e.outcome);
    }
    if !e.pick.is_empty() {
        return format!("would be answered by {}", e.pick);
    }
    let usable = e.candidates.iter().filter(|c| c.usable).count();
    let of = if e.omitted > 0 { "at least " } else { "" };
    match usable {
        1 => format!("would be answered by the one usable backend of {}", e.service),
        n => format!("would be answered by one of {of}{n} backends of {}", e.service),
    }
}

fn candidates(list: &[v1::Candidate]) -> Table {
    let timed = list.iter().any(|c| c.latency.is_some());
    let mut columns =
        vec!["BACKEND", "ZONE", "PRIORITY", "WEIGHT", "HEALTH", "EJECTION", "IN FLIGHT", "USABLE", "WHY"];
    if timed {
        columns.push("LATENCY");
    }
    let mut table = Table::new(&columns, "");
    for candidate in list {
        let nothing = v1::BackendCondition::default();
        let condition = candidate.condition.as_ref().unwrap_or(&nothing);
        let usable = match (candidate.usable, candidate.why.as_str()) {
            (true, "") => State::Good.cell("yes"),
            (true, _) => State::Doubtful.cell("yes"),
            (false, _) => State::Bad.cell("no"),
        };
        let mut row = vec![
            State::plain(&condition.backend),
            State::plain(&candidate.zone),
            State::plain(candidate.priority),
            State::plain(candidate.weight),
            health(condition),
            ejection(condition),
            State::plain(condition.in_flight),
            usable,
            State::plain(&candidate.why),
        ];
        if timed {
            row.push(State::plain(exact(candidate.latency).unwrap_or_default()));
        }
        table.row(row);
    }
    table
}

fn limits(list: &[v1::LimitUse]) -> Table {
    let mut table = Table::new(&["LIMIT", "USED", "OF", "PERCENT"], "");
    for limit in list {
        // Nothing of nothing is all there is.
        let percent = limit.used.saturating_mul(100).checked_div(limit.limit).unwrap_or(100);
        let percent_cell = format!("{percent}%");
        let cell = match percent {
            100.. => State::Bad.cell(percent_cell),
            NEAR.. => State::Doubtful.cell(percent_cell),
            _ => State::plain(percent_cell),
        };
        table.row([State::plain(&limit.setting), State::plain(limit.used), State::plain(limit.limit), cell]);
    }
    table
}

#[cfg(test)]
mod tests {
    use weir_proto::v1::{EjectionState, HealthState};

    use super::*;

    fn candidate(backend: &str, health: HealthState, usable: bool, why: &str) -> v1::Candidate {
        let sick = health == HealthState::Unhealthy;
        let condition = v1::BackendCondition {
            backend: backend.to_owned(),
            health: health as i32,
            health_reason: if sick { "connection refused".to_owned() } else { String::new() },
            health_for: Some(prost_types::Duration { seconds: 12, nanos: 0 }),
            ejection: EjectionState::None as i32,
            in_flight: 3,
            ..Default::default()
        };
        let condition = Some(condition);
        v1::Candidate { condition, usable, why: why.to_owned(), weight: 1, ..Default::default() }
    }

    fn explanation() -> v1::Explanation {
        v1::Explanation {
            revision: 12,
            route: "shop.example/".to_owned(),
            service: "web".to_owned(),
            outcome: "ok".to_owned(),
            lb_policy: "round_robin".to_owned(),
            candidates: vec![
                candidate("web/10.0.0.7:8080", HealthState::Healthy, true, ""),
                candidate("web/10.0.0.8:8080", HealthState::Unhealthy, false, "unhealthy"),
            ],
            limits: vec![v1::LimitUse {
                setting: "circuit_breakers.max_requests".to_owned(),
                used: 900,
                limit: 1024,
            }],
            ..Default::default()
        }
    }

    #[test]
    fn a_person_reads_the_answer_first() {
        let text = people("GET shop.example/cart", "edge-1", &explanation(), false);
        assert_eq!(
            text.to_string(),
            "\
GET shop.example/cart
would be answered by the one usable backend of web

proxy    edge-1, at revision 12
route    shop.example/
service  web, round_robin

BACKEND            ZONE  PRIORITY  WEIGHT  HEALTH                             EJECTION  IN FLIGHT  USABLE  WHY
web/10.0.0.7:8080  -     0         1       healthy                            -         3          yes     -
web/10.0.0.8:8080  -     0         1       unhealthy 12s: connection refused  -         3          no      unhealthy

LIMIT                          USED  OF    PERCENT
circuit_breakers.max_requests  900   1024  87%"
        );
    }

    #[test]
    fn verdicts_say_what_is_certain_and_no_more() {
        let said = |change: &dyn Fn(&mut v1::Explanation)| {
            let mut e = explanation();
            change(&mut e);
            verdict(&e)
        };
        assert_eq!(said(&|e| e.pick = "web/10.0.0.7:8080".into()), "would be answered by web/10.0.0.7:8080");
        assert_eq!(said(&|e| e.candidates[1].usable = true), "would be answered by one of 2 backends of web");
        let refused = said(&|e| {
            e.outcome = "no_route".into();
            e.status = 404;
            e.sentence = "no route matches this host and path".into();
        });
        assert_eq!(refused, "would be refused: 404 no_route - no route matches this host and path");
        let here = said(&|e| {
            e.outcome = "answered_here".into();
            e.status = 200;
        });
        assert_eq!(here, "would be answered by the proxy itself: 200 answered_here");
    }

    #[test]
    fn panic_is_not_to_be_overlooked() {
        let panic = v1::Explanation { panic: true, ..explanation() };
        assert!(people("GET a/", "p", &panic, false).to_string().contains("\n\nPANIC: "));
        assert_eq!(value("GET a/", "p", &panic)["panic"], true);
    }

    #[test]
    fn programs_get_everything() {
        let value = value("GET shop.example/cart", "edge-1", &explanation());
        assert_eq!(
            (&value["proxy"], &value["pick"], &value["status"]),
            (&json!("edge-1"), &json!(null), &json!(null))
        );
        let second = &value["candidates"][1];
        assert_eq!(
            (&second["why"], &second["health_reason"]),
            (&json!("unhealthy"), &json!("connection refused"))
        );
        assert_eq!(
            value["limits"][0],
            json!({"setting": "circuit_breakers.max_requests", "used": 900, "limit": 1024})
        );
    }
}
