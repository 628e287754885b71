//! The route that nobody declares: where requests go that no declared one takes.

use proptest::prelude::*;
use weir_proto::{HostMatch, Revision, v1};

use crate::{
    registry::{Registry, testing::*},
    snapshot::{Entry, Object, Snapshot},
};

/// `default->web`, `default off`, or nothing.
fn standing(registry: &Registry) -> String {
    shown(&registry.current())
}

fn shown(view: &Snapshot) -> String {
    let shown = view.implicit_route().map(|entry| {
        let route = entry.object.value.as_route().expect("a route");
        let to: Vec<_> = route.services.iter().map(|to| to.name.as_str()).collect();
        if route.off { format!("{} off", route.name) } else { format!("{}->{}", route.name, to.join(",")) }
    });
    shown.unwrap_or_default()
}

async fn register(registry: &Registry, key: &str) -> Vec<String> {
    registry.register(&me(), fixed(key, "me")).await.expect("ok").warnings
}

async fn declare_all(registry: &Registry, objects: impl IntoIterator<Item = Object>) -> Vec<String> {
    let mut wanted = declare("shop", objects);
    wanted.prune = true;
    wanted.allow_empty = true;
    registry.apply(&me(), wanted).await.expect("ok").warnings
}

#[tokio::test]
async fn it_comes_with_the_first_service_in_the_same_revision_and_stays_there() {
    let (registry, _task, _) = start().await;
    assert_eq!(standing(&registry), "");
    assert_eq!(register(&registry, "web/a").await, [""; 0]);
    assert_eq!((standing(&registry).as_str(), registry.current().revision()), ("default->web", Revision(1)));
    let entry = registry.current().implicit_route().cloned().expect("there");
    let Entry { object, meta } = &*entry;
    assert!(meta.implicit && meta.owner.is_none() && object.level == 4, "{entry:?}");
    let standing_route = object.value.as_route().expect("a route");
    assert!(standing_route.by_host && standing_route.host == HostMatch::Any);
    assert_eq!(&*standing_route.path_prefix, "/");
    let warnings = register(&registry, "api/a").await;
    let expected = "the service api is new, and no route names it: only requests with `Host: api` go to it, and all others \
                    where they did (route default, to web)";
    assert_eq!(warnings, [expected]);
    assert_eq!(standing(&registry), "default->web");
    declare_all(&registry, [service("another", 1), route("r", "shop.example", "another")]).await;
    assert_eq!(standing(&registry), "default->web", "nor does a route for another host");
}

#[tokio::test]
async fn it_leads_to_the_oldest_of_the_others_when_its_service_goes_and_goes_with_the_last() {
    let (registry, _task, _) = start().await;
    for key in ["web/a", "zoo/a", "api/a"] {
        register(&registry, key).await;
    }
    let delete = |name: &'static str| {
        let registry = registry.clone();
        let cascade = name.starts_with("service");
        async move { registry.delete(&me(), object_key(name), None, cascade).await.expect("ok") }
    };
    delete("service web").await;
    assert_eq!(standing(&registry), "default->zoo");
    register(&registry, "web/a").await;
    assert_eq!(standing(&registry), "default->zoo", "one that comes back is the youngest");
    delete("backend zoo/a").await;
    assert_eq!(standing(&registry), "default->api");
    delete("service api").await;
    delete("service web").await;
    assert_eq!((standing(&registry).as_str(), registry.current().len()), ("", 0));
}

#[tokio::test]
async fn a_declared_route_for_everything_takes_its_place_and_gives_it_back() {
    let (registry, _task, _) = start().await;
    register(&registry, "web/a").await;
    register(&registry, "api/a").await;
    let warnings = declare_all(&registry, [route("all", "", "api")]).await;
    assert_eq!(standing(&registry), "");
    let expected =
        "requests that no other route takes go to route all, to api: they went to route default, to web";
    assert_eq!(warnings, [expected]);
    declare_all(&registry, [route("default", "", "api")]).await;
    assert_eq!(standing(&registry), "", "one that is called so, too");
    declare_all(&registry, [route("default", "shop.example", "api")]).await;
    assert_eq!(standing(&registry), "default-2->web", "one that is called so and takes one host only");
    declare_all(&registry, []).await;
    assert_eq!(standing(&registry), "default->web");
}

#[tokio::test]
async fn turned_off_it_stays_off_until_somebody_turns_it_on() {
    let (registry, _task, store) = start().await;
    let turn = |on| {
        let registry = registry.clone();
        async move { registry.set_default_route(&me(), on, None).await.expect("ok").revision.0 }
    };
    register(&registry, "web/a").await;
    register(&registry, "api/a").await;
    assert_eq!(turn(true).await, 2, "it is on");
    registry.delete(&me(), object_key("route default"), None, false).await.expect("ok");
    assert_eq!(standing(&registry), "default off");
    assert_eq!(turn(false).await, 3, "it is off");
    let again = registry.delete(&me(), object_key("route default"), None, false).await;
    assert!(again.expect_err("off").to_string().contains("`weir route default on`"));
    registry.delete(&me(), object_key("service web"), None, true).await.expect("ok");
    declare_all(&registry, [route("all", "", "api")]).await;
    declare_all(&registry, [route("default", "x.example", "api")]).await;
    assert_eq!(standing(&registry), "default-2 off", "whatever else is declared");
    declare_all(&registry, []).await;
    drop(registry);
    let (registry, _task) = restart(&store).await;
    assert_eq!(standing(&registry), "default off", "and whoever starts anew");
    let stands = registry.set_default_route(&me(), true, None).await.expect("ok");
    assert!(stands.standing.is_some() && stands.declared.is_none());
    assert_eq!(standing(&registry), "default->api");
    let stale = registry.set_default_route(&me(), false, Some(Revision(1))).await;
    assert!(stale.is_err(), "{stale:?}");
}

#[tokio::test]
async fn a_rollback_declares_what_was_declared_and_leaves_it_to_follow() {
    let (registry, _task, _) = start().await;
    register(&registry, "web/a").await;
    declare_all(&registry, [service("api", 1), route("all", "", "api")]).await;
    let to = |revision| crate::registry::Rollback {
        to: Revision(revision),
        dry_run: false,
        if_revision: None,
        message: String::new(),
        own_addresses: std::collections::BTreeMap::new(),
    };
    let back = registry.rollback(&me(), to(1)).await.expect("ok");
    assert_eq!(standing(&registry), "default->web");
    assert!(back.changes.iter().any(|change| change.key == object_key("route default")), "it is told");
    registry.rollback(&me(), to(2)).await.expect("ok");
    assert_eq!(standing(&registry), "");
}

/// A store as versions before left it: services and routes, and no implicit route.
fn older(objects: &[(Object, u64)]) -> Snapshot {
    let marks = crate::snapshot::Marks {
        epoch: weir_proto::Epoch(1),
        accepted: Revision(0),
        revision: Revision(9),
        floor: Revision(0),
    };
    let entries = objects.iter().map(|(object, created)| {
        let meta = v1::ObjectMeta {
            created_revision: *created,
            modified_revision: 9 - *created,
            ..Default::default()
        };
        std::sync::Arc::new(Entry { object: object.clone(), meta })
    });
    Snapshot::restore(marks, entries.collect::<Vec<_>>(), [], [])
}

#[test]
fn in_an_older_store_the_oldest_is_who_came_first_or_was_left_alone_longest() {
    let view = older(&[(service("a", 1), 3), (service("b", 1), 2)]);
    assert_eq!(view.oldest_service().expect("there").as_str(), "b");
    let unknown = |name: &str, modified| {
        let meta = v1::ObjectMeta { modified_revision: modified, ..Default::default() };
        std::sync::Arc::new(Entry { object: service(name, 1), meta })
    };
    let marks = crate::snapshot::Marks {
        epoch: weir_proto::Epoch(1),
        accepted: Revision(0),
        revision: Revision(9),
        floor: Revision(0),
    };
    let view = Snapshot::restore(marks, [unknown("a", 7), unknown("b", 5), unknown("c", 5)], [], []);
    assert_eq!(view.oldest_service().expect("there").as_str(), "b");
}

#[tokio::test]
async fn an_older_store_with_routes_goes_on_answering_other_hosts_404() {
    for (routes, expected) in
        [(vec![], "default->web"), (vec![route("r", "x.example", "web")], "default off")]
    {
        let store = Shared::new();
        let (registry, task) = restart(&store).await;
        let objects = [vec![service("web", 1)], routes].concat();
        registry.apply(&me(), declare("shop", objects)).await.expect("ok");
        task.stop().await.expect("stops");
        store.forget(&object_key("route default"));
        let (registry, _task) = restart(&store).await;
        assert_eq!(standing(&registry), expected);
    }
}

/// What the model does: services and routes come and go.
#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    Delete(u8),
    Routes(Vec<(u8, u8)>),
    Turn(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8).prop_map(Step::Register),
        2 => (0..4_u8).prop_map(Step::Delete),
        2 => prop::collection::vec((0..3_u8, 0..4_u8), 0..3).prop_map(Step::Routes),
        1 => any::<bool>().prop_map(Step::Turn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is added, requests of other hosts go where they went; and there is always exactly one answer to where that
    /// is.
    #[test]
    fn what_is_added_never_changes_where_other_requests_go(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (registry, _task, _) = start().await;
            let mut off = false;
            for step in steps {
                let before = registry.current();
                let adds = matches!(step, Step::Register(_));
                match step {
                    Step::Register(n) => {
                        register(&registry, &format!("s{n}/a")).await;
                    }
                    Step::Delete(n) => {
                        let _ = registry.delete(&me(), object_key(&format!("service s{n}")), None, true).await;
                    }
                    Step::Routes(list) => {
                        let mut hosts = std::collections::BTreeMap::new();
                        hosts.extend(list);
                        let host = |n| ["", "x.example", "y.example"][usize::from(n)];
                        let names = ["all", "default", "other"];
                        let routes = hosts.iter().map(|(h, s)| {
                            route(names[usize::from(*h)], host(*h), &format!("s{s}"))
                        });
                        declare_all(&registry, routes).await;
                    }
                    Step::Turn(on) => {
                        registry.set_default_route(&me(), on, None).await.expect("ok");
                        off = !on;
                    }
                }
                let after = registry.current();
                let stands = after.implicit_route().cloned();
                let route = stands.as_ref().and_then(|entry| entry.object.value.as_route());
                assert_eq!(route.is_some_and(|route| route.off), off);
                if !off {
                    let wanted = after.declared_catch_all().is_none() && after.oldest_service().is_some();
                    assert_eq!(route.is_some(), wanted, "{}", shown(&after));
                }
                let exists = |name: &weir_proto::ServiceName| {
                    after.get(&object_key(&format!("service {name}"))).is_some()
                };
                assert!(off || route.is_none_or(|route| route.services.iter().all(|to| exists(&to.name))));
                let digest = after.entries().fold(weir_proto::Digest::default(), |digest, entry| {
                    digest.with(&entry.object.key, &entry.object.body)
                });
                assert_eq!(after.position().digest, digest);
                if adds && before.oldest_service().is_some() {
                    assert_eq!(shown(&before), shown(&after), "a service more");
                }
            }
        });
    }
}
