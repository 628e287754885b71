//! Declarations: all or nothing, and nobody's but one's own.

use weir_proto::v1::{self, ChangeKind};

use crate::{
    error::Error,
    registry::{Applied, Apply, testing::*},
    snapshot::Object,
};

fn changes(applied: &Applied) -> Vec<String> {
    let word = |kind: ChangeKind| kind.as_str_name().trim_start_matches("CHANGE_KIND_").to_lowercase();
    applied.changes.iter().map(|c| format!("{} {}", word(c.kind), c.key)).collect()
}

fn refusal(result: Result<Applied, Error>) -> String {
    result.expect_err("must be refused").to_string()
}

#[tokio::test]
async fn one_apply_is_one_revision_and_the_same_again_none() {
    let (registry, _task, _) = start().await;
    let wanted =
        || declare("shop", [service("web", 1), Object::backend(backend("web/a")), route("r", "", "web")]);
    let first = registry.apply(&me(), wanted()).await.expect("ok");
    assert_eq!(changes(&first), ["created service web", "created backend web/a", "created route r"]);
    assert_eq!((first.revision.0, registry.current().revision().0), (1, 1));
    let again = registry.apply(&me(), wanted()).await.expect("ok");
    assert_eq!(changes(&again), ["unchanged service web", "unchanged backend web/a", "unchanged route r"]);
    assert_eq!(again.revision, first.revision);
}

#[tokio::test]
async fn one_fault_refuses_all_of_it_and_names_its_place() {
    let (registry, _task, _) = start().await;
    registry
        .apply(&me(), declare("a", [listener("web", "0.0.0.0:80"), route("r", "x.example", "s")]))
        .await
        .expect("ok");
    let before = registry.current().position();
    let me = me();
    let refuse = |objects: Vec<Object>| registry.apply(&me, declare("b", objects));
    assert_eq!(
        refusal(refuse(vec![service("s", 1), listener("other", "0.0.0.0:80")]).await),
        "documents[0].objects[1].address: 0.0.0.0:80 is the address of listener web already"
    );
    assert_eq!(
        refusal(refuse(vec![route("a", "x.example", "s")]).await),
        "documents[0].objects[0].match: x.example/ is what route r matches already"
    );
    assert_eq!(
        refusal(refuse(vec![service("s", 1), service("s", 2)]).await),
        "documents[0].objects[1]: service s is declared twice, first at documents[0].objects[0]"
    );
    let taken = refusal(refuse(vec![service("s", 1), route("r", "", "s")]).await);
    assert!(taken.starts_with("documents[0].objects[1]: route r exists already"), "{taken}");
    assert_eq!(registry.current().position(), before);
}

#[tokio::test]
async fn addresses_may_change_hands_within_one_apply() {
    let (registry, _task, _) = start().await;
    registry
        .apply(&me(), declare("a", [listener("one", "0.0.0.0:1"), listener("two", "0.0.0.0:2")]))
        .await
        .expect("ok");
    registry
        .apply(&me(), declare("a", [listener("one", "0.0.0.0:2"), listener("two", "0.0.0.0:1")]))
        .await
        .expect("ok");
    let moved = Apply { prune: true, ..declare("a", [listener("three", "0.0.0.0:1")]) };
    let applied = registry.apply(&me(), moved).await.expect("ok");
    assert_eq!(changes(&applied), ["created listener three", "deleted listener one", "deleted listener two"]);
}

#[tokio::test]
async fn force_takes_over_what_belongs_to_others() {
    let (registry, _task, _) = start().await;
    let lease = registry.register(&me(), leased("web/a", "agent")).await.expect("ok").lease.expect("leased");
    let wanted = || declare("shop", [Object::backend(backend("web/a"))]);
    let refused = refusal(registry.apply(&me(), wanted()).await);
    assert!(refused.contains("belongs to the agent agent"), "{refused}");
    registry.apply(&me(), Apply { force: true, ..wanted() }).await.expect("ok");
    assert_eq!(registry.heartbeat(&[lease]).unknown, [lease], "the backend is static now");
    let entry = registry.current().backend(&key("web/a")).cloned().expect("there");
    assert_eq!((entry.lease_id(), entry.meta.owner.as_ref().map(|o| o.name.as_str())), (None, Some("shop")));
}

#[tokio::test]
async fn what_was_registered_by_hand_just_so_may_be_declared() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), fixed("web/a", "eve")).await.expect("ok");
    let applied =
        registry.apply(&me(), declare("shop", [Object::backend(backend("web/a"))])).await.expect("ok");
    assert_eq!(changes(&applied), ["updated backend web/a"]);
}

#[tokio::test]
async fn prune_removes_only_its_own_and_keeps_services_in_use() {
    let (registry, _task, _) = start().await;
    let all = [service("web", 3), service("idle", 1), Object::backend(backend("web/a"))];
    registry.apply(&me(), declare("shop", all)).await.expect("ok");
    registry.apply(&me(), declare("other", [service("theirs", 1)])).await.expect("ok");
    registry.register(&me(), leased("web/b", "agent")).await.expect("ok");
    let none = Apply { prune: true, allow_empty: true, ..declare("shop", []) };
    let applied = registry.apply(&me(), none).await.expect("ok");
    let expected =
        ["deleted backend web/a", "deleted service idle", "updated service web", "updated route default"];
    assert_eq!(changes(&applied), expected, "idle came first by its name");
    assert_eq!(applied.warnings.len(), 2, "{:?}", applied.warnings);
    let current = registry.current();
    assert!(current.get(&object_key("service web")).is_some_and(|s| s.meta.implicit));
    assert!(current.get(&object_key("service theirs")).is_some());
    assert!(current.backend(&key("web/b")).is_some());
}

#[tokio::test]
async fn a_dry_run_answers_what_would_change_and_changes_nothing() {
    let (registry, _task, _) = start().await;
    let wanted = declare("shop", [Object::backend(backend("web/a"))]);
    let mut events = registry.events().read(0);
    let dry = registry.apply(&me(), Apply { dry_run: true, ..wanted.clone() }).await.expect("ok");
    let expected = ["created backend web/a", "created route default"].map(str::to_owned);
    assert_eq!((changes(&dry), dry.revision.0), (expected.into(), 0));
    assert_eq!(registry.current().len(), 0);
    let wet = registry.apply(&me(), Apply { message: "because".into(), ..wanted }).await.expect("ok");
    assert_eq!(changes(&wet), changes(&dry));
    assert!(events.next().await.message.contains("came with its first backend"));
    assert!(events.next().await.message.starts_with("route default takes what no other route does"));
    assert!(events.next().await.message.ends_with(": because"));
}

#[tokio::test]
async fn a_route_to_nowhere_is_worth_a_warning() {
    let (registry, _task, _) = start().await;
    let applied = registry.apply(&me(), declare("a", [route("r", "", "nowhere")])).await.expect("ok");
    assert_eq!(
        applied.warnings,
        ["route r names the service nowhere, which does not exist; its share is answered with 503"]
    );
}

#[tokio::test]
async fn tables_that_proxies_have_no_room_for_are_worth_a_warning_in_a_dry_run_too() {
    let (registry, _task, _) = start().await;
    let ring = |name: &str| {
        let ring = v1::RingHash { minimum_ring_size: Some(8 << 20), ..v1::RingHash::default() };
        let policy = Some(v1::lb_policy::Policy::RingHash(ring));
        let lb_policy = Some(v1::LbPolicy { policy });
        Object::service(v1::Service { name: name.into(), lb_policy, ..v1::Service::default() })
            .expect("valid")
    };
    let of = |name: &str| [ring(name), Object::backend(backend(&format!("{name}/a")))];
    let fits = registry.apply(&me(), declare("one", [of("a"), of("b")].concat())).await.expect("ok");
    assert_eq!(fits.warnings, [""; 0]);
    let more = declare("two", of("c"));
    for dry_run in [true, false] {
        let applied = registry.apply(&me(), Apply { dry_run, ..more.clone() }).await.expect("ok");
        let [warning] = &applied.warnings[..] else { panic!("{:?}", applied.warnings) };
        assert!(warning.contains(" need 288 MiB on every proxy, "), "{warning}");
        assert!(warning.ends_with("service a (96 MiB), service b (96 MiB), service c (96 MiB)"), "{warning}");
    }
}

#[tokio::test]
async fn a_stale_apply_is_refused() {
    let (registry, _task, _) = start().await;
    let at = registry.apply(&me(), declare("a", [service("web", 1)])).await.expect("ok").revision;
    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    let stale = Apply { if_revision: Some(at), ..declare("a", [service("web", 2)]) };
    let refused = registry.apply(&me(), stale).await;
    assert!(matches!(refused, Err(Error::RevisionMismatch { .. })), "{refused:?}");
}
