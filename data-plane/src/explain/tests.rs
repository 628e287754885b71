//! Explanations against tables that the test makes.

use std::sync::Arc;

use weir_proto::{Backend, Digest, Epoch, ProxyId, Revision, Route, Service, v1::OperatorState};

use super::*;
use crate::{
    endpoint::{Endpoint, Health, Marks},
    message::Fields,
    moment::Moment,
    objects::Position,
    router::Router,
};

/// Backends of `web` by the last number of their address, each in this state.
fn entry(change: impl FnOnce(&mut v1::Service), backends: &[(u8, OperatorState)]) -> Arc<ServiceEntry> {
    let mut wire = v1::Service { name: "web".into(), ..Default::default() };
    change(&mut wire);
    let backends = backends.iter().map(|(n, state)| {
        let address = format!("10.0.0.{n}:80");
        let operator_state = *state as i32;
        let wire = v1::Backend { service: "web".into(), address, operator_state, ..Default::default() };
        Arc::new(Backend::try_from(wire).unwrap())
    });
    let entry =
        ServiceEntry::new(Arc::new(Service::try_from(wire).unwrap()), None, backends, None, &Arc::default());
    for member in entry.members.values() {
        if let Some(marks) = member.retired() {
            member.endpoint.set_retired(marks);
        }
    }
    Arc::new(entry)
}

fn table(entries: Vec<Arc<ServiceEntry>>, routes: &[Route]) -> Table {
    let position = Position { epoch: Epoch(1), revision: Revision(7), digest: Digest::default() };
    let services = entries.into_iter().map(|entry| (entry.service.name.clone(), entry)).collect();
    Table { position, router: Arc::new(Router::compile(routes, None)), services, departed: Vec::new() }
}

fn route(host: &str, services: &[&str]) -> Route {
    let path = Some(v1::route_match::Path::PathPrefix("/".into()));
    let services = services.iter().map(|name| v1::WeightedService { name: (*name).into(), weight: None });
    let wire = v1::Route {
        name: "shop".into(),
        r#match: Some(v1::RouteMatch { host: host.into(), path }),
        services: services.collect(),
        ..Default::default()
    };
    Route::try_from(wire).unwrap()
}

fn ask(table: Option<&Table>, change: impl FnOnce(&mut v1::ExplainQuestion)) -> v1::Explanation {
    let mut question = v1::ExplainQuestion { host: "shop.example".into(), ..Default::default() };
    change(&mut question);
    // As a proxy does soon after anything has changed.
    table.into_iter().flat_map(|table| table.services.values()).for_each(|entry| entry.balance.recount());
    let us = Pseudonym::of(&ProxyId::try_from("proxy-1").unwrap());
    let answer = answer(table, &us, v1::Question { id: 3, question: Some(Wanted::Explain(question)) });
    match (answer.id, answer.answer) {
        (3, Some(Content::Explanation(explanation))) => explanation,
        other => panic!("{other:?}"),
    }
}

/// Each candidate as `1+` or `1-draining`.
fn candidates(explanation: &v1::Explanation) -> Vec<String> {
    let short = |c: &v1::Candidate| {
        let name = c.condition.as_ref().map(|c| c.backend.as_str()).unwrap_or_default();
        let number = name.trim_start_matches("web/10.0.0.").trim_end_matches(":80");
        format!("{number}{}{}", if c.usable { '+' } else { '-' }, c.why)
    };
    explanation.candidates.iter().map(short).collect()
}

fn endpoint(entry: &ServiceEntry, n: u8) -> &Arc<Endpoint> {
    &entry.members[format!("10.0.0.{n}:80").as_str()].endpoint
}

/// As if probes had found so.
fn find(endpoint: &Endpoint, health: Health, reason: &str) {
    {
        let mut record = endpoint.health();
        record.health = health;
        record.health_reason = reason.to_owned();
        record.health_since = Moment::now();
    }
    let mark = match health {
        Health::Unknown => Marks::UNKNOWN,
        Health::Unhealthy => Marks::UNHEALTHY,
        Health::Degraded => Marks::DEGRADED,
        Health::Unchecked | Health::Healthy => Marks::default(),
    };
    endpoint.mark(Marks::HEALTH, mark);
}

const UP: OperatorState = OperatorState::Enabled;

#[test]
fn each_backend_that_is_out_says_why() {
    let entry = entry(
        |service| service.healthy_panic_threshold = Some(0),
        &[(1, UP), (2, OperatorState::Draining), (3, OperatorState::Disabled), (4, UP), (5, UP)],
    );
    for n in [1, 4, 5] {
        endpoint(&entry, n).mark(Marks::RAMPING, Marks::default());
    }
    find(endpoint(&entry, 4), Health::Unhealthy, "connection refused");
    assert!(endpoint(&entry, 5).eject(1));
    let table = table(vec![entry], &[]);
    let explained = ask(Some(&table), |_| {});
    assert_eq!((explained.outcome.as_str(), explained.revision), ("ok", 7));
    assert_eq!((explained.service.as_str(), explained.lb_policy.as_str()), ("web", "round_robin"));
    assert_eq!(candidates(&explained), ["1+", "2-draining", "3-disabled", "4-unhealthy", "5-ejected"]);
    assert_eq!(explained.pick, "web/10.0.0.1:80", "there is only one");
    let sick = explained.candidates[3].condition.as_ref().unwrap();
    assert_eq!(sick.health_reason, "connection refused");
    assert!(sick.health_for.is_some());
}

#[test]
fn a_refusal_is_the_one_that_the_request_would_get() {
    let shop = [route("shop.example", &["web"])];
    let gone = [route("shop.example", &["nobody"])];
    let up = || entry(|_| {}, &[(1, UP)]);
    let outcome = |table: Option<&Table>, change: &dyn Fn(&mut v1::ExplainQuestion)| {
        let explained = ask(table, change);
        (explained.outcome, explained.status, explained.route)
    };
    let said = |outcome: &str, status: u32, route: &str| (outcome.to_owned(), status, route.to_owned());
    let good = table(vec![up()], &shop);
    assert_eq!(outcome(None, &|_| {}), said("nothing_configured", 503, ""));
    assert_eq!(outcome(Some(&good), &|_| {}), said("ok", 0, "shop"));
    assert_eq!(outcome(Some(&good), &|q| q.host = "other.example".into()), said("no_route", 404, ""));
    assert_eq!(outcome(Some(&good), &|q| q.host = "a b".into()), said("host_invalid", 400, ""));
    assert_eq!(outcome(Some(&good), &|q| q.method = "TRACE".into()), said("method_not_allowed", 405, ""));
    assert_eq!(outcome(Some(&good), &|q| q.method = "G T".into()).1, 400);
    assert_eq!(outcome(Some(&table(vec![up()], &gone)), &|_| {}), said("no_service", 503, "shop"));
    let empty = table(vec![entry(|_| {}, &[])], &shop);
    assert_eq!(outcome(Some(&empty), &|_| {}), said("no_backends", 503, "shop"));
    let drained = table(vec![entry(|_| {}, &[(1, OperatorState::Draining)])], &shop);
    assert_eq!(outcome(Some(&drained), &|_| {}), said("no_routable_backend", 503, "shop"));
}

/// The route that nobody declared, to `web`.
fn implicit(off: bool) -> Route {
    let services = vec![v1::WeightedService { name: "web".into(), weight: None }];
    let wire = v1::Route {
        name: "default".into(),
        services,
        implicit: true,
        by_host: true,
        off,
        ..Default::default()
    };
    Route::try_from(wire).unwrap()
}

#[test]
fn the_implicit_route_leads_to_the_service_that_the_host_names_else_to_its_own_and_comes_last() {
    let services =
        || vec![entry(|_| {}, &[(1, UP)]), entry(|service| service.name = "api".into(), &[(2, UP)])];
    let to = |table: &Table, host: &str| {
        let explained = ask(Some(table), |q| q.host = host.into());
        (explained.outcome, explained.route, explained.service)
    };
    let said = |route: &str, service: &str| ("ok".to_owned(), route.to_owned(), service.to_owned());
    let none = || ("no_route".to_owned(), String::new(), String::new());
    let table_of = |routes: &[Route]| table(services(), routes);

    let both = table_of(&[implicit(false), route("shop.example", &["api"])]);
    assert_eq!(to(&both, "anything.example"), said("default", "web"));
    assert_eq!(to(&both, "API"), said("default", "api"));
    assert_eq!(to(&both, "shop.example"), said("shop", "api"));
    let sentence = ask(Some(&both), |q| q.host = "api".into()).sentence;
    assert_eq!(sentence, "no declared route takes it; the Host names this service");

    let off = table_of(&[implicit(true), route("shop.example", &["api"])]);
    assert_eq!((to(&off, "api"), to(&off, "shop.example")), (none(), said("shop", "api")));
    assert_eq!(to(&table_of(&[implicit(true)]), "api"), none(), "nor does an older rule take its place");
    // From a control plane that leaves it to its proxies.
    let older = table_of(&[]);
    assert_eq!((to(&older, "api"), to(&older, "other")), (said("", "api"), none()));
}

#[test]
fn a_value_cannot_begin_another_request() {
    let table = table(vec![entry(|_| {}, &[(1, UP)])], &[]);
    for value in ["a\r\nHost: other.example", "a\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
        let field = v1::ExplainField { name: "x-a".into(), value: value.into() };
        let explained = ask(Some(&table), |q| q.fields = vec![field]);
        assert_eq!(explained.status, 400, "{value:?}: {}", explained.outcome);
    }
}

#[test]
fn asking_takes_nobodys_turn_and_counts_nowhere() {
    let entry = entry(|_| {}, &[(1, UP), (2, UP)]);
    let next = entry.service.name.clone();
    let table = table(vec![Arc::clone(&entry)], &[route("shop.example", &["web", "other"])]);
    let compiled = table.router.route("shop.example", "/").unwrap();
    let before = compiled.next_service().clone();
    for _ in 0..5 {
        ask(Some(&table), |_| {});
        assert_eq!(*compiled.next_service(), before);
    }
    assert_eq!(*compiled.service(), before, "what is said to be next is next");
    assert_ne!(*compiled.next_service(), before);
    assert_eq!((entry.live.gate().held(), entry.live.gate().waiting()), (0, 0));
    assert!(before == next || before.as_str() == "other");
}

#[test]
fn limits_show_what_is_used_and_refuse_what_they_would_refuse() {
    let breakers =
        v1::CircuitBreakers { max_requests: Some(2), max_pending_requests: Some(0), ..Default::default() };
    let entry = entry(|service| service.circuit_breakers = Some(breakers), &[(1, UP)]);
    let table = table(vec![Arc::clone(&entry)], &[]);
    assert!(entry.live.gate().enter(2));
    let explained = ask(Some(&table), |_| {});
    assert_eq!((explained.limits[0].used, explained.limits[0].limit), (1, 2));
    assert_eq!(explained.limits[0].setting, "circuit_breakers.max_requests");
    assert_eq!(explained.outcome, "ok");
    assert!(entry.live.gate().enter(2));
    let explained = ask(Some(&table), |_| {});
    assert_eq!((explained.outcome.as_str(), explained.status), ("overflow", 503));
}

#[test]
fn rates_are_those_of_this_client_and_asking_uses_none() {
    let limit = |requests, key| v1::RateLimit { requests, key, ..Default::default() };
    let by_client = v1::RateLimitKey { key: Some(v1::rate_limit_key::Key::ClientAddress(true)) };
    let entry =
        entry(|service| service.rate_limits = vec![limit(9, None), limit(2, Some(by_client))], &[(1, UP)]);
    let table = table(vec![Arc::clone(&entry)], &[]);
    let rates = |from: &str| {
        let explained = ask(Some(&table), |q| q.client_address = from.into());
        let rates = explained.limits.iter().filter(|l| l.setting.starts_with("rate_limits["));
        (rates.map(|l| (l.used, l.limit)).collect::<Vec<_>>(), explained.outcome)
    };
    let client = "10.1.2.3".parse().unwrap();
    for used in 0..2 {
        for _ in 0..3 {
            assert_eq!(rates("10.1.2.3"), (vec![(used, 9), (used, 2)], "ok".into()));
        }
        entry.limits.check(client, &Fields::default(), Moment::now()).unwrap();
    }
    assert_eq!(rates("10.1.2.3"), (vec![(2, 9), (2, 2)], "rate_limited".into()));
    assert_eq!(rates("10.1.2.4"), (vec![(2, 9), (0, 2)], "ok".into()));
}

#[test]
fn an_open_circuit_refuses_and_says_so() {
    let breakers = v1::CircuitBreakers { consecutive_failures: Some(2), ..Default::default() };
    let entry = entry(|service| service.circuit_breakers = Some(breakers), &[(1, UP)]);
    let table = table(vec![Arc::clone(&entry)], &[]);
    let settings = &entry.service.circuit_breakers;
    for failures in 0..2 {
        let explained = ask(Some(&table), |_| {});
        let limit = explained.limits.iter().find(|l| l.setting.ends_with("consecutive_failures")).unwrap();
        assert_eq!((explained.outcome.as_str(), limit.used, limit.limit), ("ok", failures, 2));
        let permit = entry.live.breaker().may(settings, Moment::now()).unwrap();
        entry.live.breaker().fail(permit, &entry.service, Moment::now());
    }
    assert_eq!(ask(Some(&table), |_| {}).outcome, "circuit_open");
}

#[test]
fn a_backup_says_that_others_come_first() {
    let wire = v1::Service { name: "web".into(), ..Default::default() };
    let backends = [(1, 0), (2, 1)].map(|(n, priority)| {
        let address = format!("10.0.0.{n}:80");
        let wire =
            v1::Backend { service: "web".into(), address, priority: Some(priority), ..Default::default() };
        Arc::new(Backend::try_from(wire).unwrap())
    });
    let entry = Arc::new(ServiceEntry::new(
        Arc::new(Service::try_from(wire).unwrap()),
        None,
        backends,
        None,
        &Arc::default(),
    ));
    let table = table(vec![Arc::clone(&entry)], &[]);
    let explained = ask(Some(&table), |_| {});
    assert_eq!(candidates(&explained), ["1+", "2-other_priority"]);
    assert_eq!(explained.pick, "web/10.0.0.1:80");
    find(endpoint(&entry, 1), Health::Unhealthy, "connection refused");
    let explained = ask(Some(&table), |_| {});
    assert_eq!(candidates(&explained), ["1-unhealthy", "2+"]);
    assert!(!explained.panic);
}

#[test]
fn a_key_decides_where_it_lasts_and_a_cookie_before_it() {
    let by_user = v1::HashKey { key: Some(v1::hash_key::Key::Header("x-user".into())) };
    let maglev = v1::Maglev { hash_keys: vec![by_user], ..Default::default() };
    let entry = entry(
        |service| {
            service.lb_policy = Some(v1::LbPolicy { policy: Some(v1::lb_policy::Policy::Maglev(maglev)) });
            service.session_affinity = Some(v1::SessionAffinity::default());
        },
        &[(1, UP), (2, UP), (3, UP), (4, OperatorState::Draining)],
    );
    let table = table(vec![Arc::clone(&entry)], &[]);
    let pick = |name: &str, value: &str| {
        let field = v1::ExplainField { name: name.into(), value: value.into() };
        ask(Some(&table), |q| q.fields = vec![field])
    };
    let picks: Vec<_> = (0..20).map(|user| pick("x-user", &user.to_string()).pick).collect();
    assert!(picks.iter().all(|pick| pick.starts_with("web/10.0.0.")));
    assert!(picks.iter().any(|pick| *pick != picks[0]), "other keys lead elsewhere");
    assert_eq!(pick("x-user", "7").pick, picks[7]);
    assert_eq!(ask(Some(&table), |_| {}).pick, "", "a key is made up for each such request");

    let affinity = entry.affinity.as_ref().unwrap();
    let cookie = affinity.set_cookie(endpoint(&entry, 4), false);
    let explained = pick("cookie", cookie.split(';').next().unwrap());
    assert_eq!(explained.pick, "web/10.0.0.4:80", "it keeps the clients that it has");
    assert_eq!(candidates(&explained)[3], "4+draining");
}

#[test]
fn when_all_are_unhealthy_it_says_that_health_is_ignored() {
    let entry = entry(|_| {}, &[(1, UP), (2, UP), (3, OperatorState::Disabled)]);
    for n in [1, 2] {
        find(endpoint(&entry, n), Health::Unhealthy, "status 500");
    }
    let table = table(vec![entry], &[]);
    let explained = ask(Some(&table), |_| {});
    assert!(explained.panic);
    assert_eq!(candidates(&explained), ["1+unhealthy", "2+unhealthy", "3-disabled"]);
    assert_eq!((explained.outcome.as_str(), explained.pick.as_str()), ("ok", ""));
}

#[test]
fn conditions_name_every_backend_and_troubles_only_those_in_trouble() {
    let entry = entry(|_| {}, &[(1, UP), (2, UP)]);
    find(endpoint(&entry, 2), Health::Degraded, "status 429");
    let table = table(vec![entry], &[]);
    let names = |list: &[v1::BackendCondition]| list.iter().map(|c| c.backend.clone()).collect::<Vec<_>>();
    let all = conditions(Some(&table), "web");
    assert_eq!(names(&all.conditions), ["web/10.0.0.1:80", "web/10.0.0.2:80"]);
    assert_eq!(all.conditions[0].health(), v1::HealthState::Healthy, "nobody probes it");
    assert_eq!(conditions(Some(&table), "other").conditions, []);
    assert_eq!(names(&conditions(Some(&table), "").conditions), names(&all.conditions));
    let troubles = troubles(Some(&table));
    assert_eq!(names(&troubles), ["web/10.0.0.2:80"]);
    assert_eq!(troubles[0].health(), v1::HealthState::Degraded);
    assert_eq!(super::troubles(None), []);
}

#[test]
fn a_question_of_a_newer_version_has_an_empty_answer() {
    let us = Pseudonym::of(&ProxyId::try_from("proxy-1").unwrap());
    assert_eq!(answer(None, &us, v1::Question { id: 9, question: None }), v1::Answer { id: 9, answer: None });
}
