//! What was can be told, compared and brought back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_proto::{
    ObjectKey, ObjectKind, OperatorState, Revision,
    v1::{self, RevisionCause as Cause},
};

use crate::{
    error::Error,
    journal::{Query, Retention, declared},
    metrics::Metrics,
    registry::{
        Apply, Options, Registry, Rollback, Target, Task,
        testing::{
            Shared, backend, declare, fixed, key, leased, me, object_key, restart, route, service, start,
        },
    },
    snapshot::{Object, Snapshot},
};

fn to(revision: u64) -> Rollback {
    Rollback {
        to: Revision(revision),
        dry_run: false,
        if_revision: None,
        message: "why".to_owned(),
        own_addresses: std::collections::BTreeMap::new(),
    }
}

fn all() -> Query {
    Query { before: None, most: usize::MAX, automatic: true, object: None, befores: false }
}

async fn kept(store: &Shared, revisions: u32) -> (Registry, Task) {
    let keep = Retention { revisions, ..Retention::default() };
    let options = Options { keep, ..Options::new(Metrics::default()) };
    Registry::start(Box::new(store.clone()), options).await.expect("starts")
}

/// What is declared: bodies and owners.
type Declared = BTreeMap<ObjectKey, (Vec<u8>, Option<v1::Owner>)>;

fn all_declared(snapshot: &Snapshot) -> Declared {
    let entries = snapshot.entries().filter_map(declared);
    entries.map(|e| (e.object.key.clone(), (e.object.body.to_vec(), e.meta.owner.clone()))).collect()
}

#[tokio::test]
async fn the_history_says_who_did_what_and_why() {
    let (registry, _task, _store) = start().await;
    let apply = Apply { message: "first".to_owned(), ..declare("shop", [service("web", 1)]) };
    registry.apply(&me(), apply).await.expect("applied");
    registry.register(&me(), leased("web/a", "agent")).await.expect("registered");
    registry.apply(&me(), declare("shop", [service("web", 1)])).await.expect("the same again");
    registry.delete(&me(), object_key("service web"), None, true).await.expect("deleted");

    let page = registry.history(all()).await.expect("read");
    let told: Vec<_> = page.records.iter().map(|r| (r.info.revision, r.info.cause(), r.automatic)).collect();
    assert_eq!(told, [(3, Cause::Delete, false), (2, Cause::Register, true), (1, Cause::Apply, false)]);
    assert_eq!(page.floor, Revision(0));
    let first = &page.records[2].info;
    assert_eq!((first.message.as_str(), first.changes), ("first", 2), "the implicit route with it");
    assert_eq!(first.author, Some(me().wire()));
    assert_eq!(page.records[0].info.objects.len(), 3);

    let manual = registry.history(Query { automatic: false, ..all() }).await.expect("read");
    assert_eq!(manual.records.len(), 2);
    let next = registry.history(Query { before: Some(Revision(3)), most: 1, ..all() }).await.expect("read");
    assert_eq!(next.records[0].info.revision, 2);
    let of_object = Query { object: Some(object_key("service web")), ..all() };
    let of_object = registry.history(of_object).await.expect("read");
    assert_eq!(of_object.records.iter().map(|r| r.info.revision).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(registry.revision(Revision(2)).await.expect("read").map(|info| info.changes), Some(1));
    assert_eq!(registry.revision(Revision(9)).await.expect("read"), None);
}

#[tokio::test]
async fn a_rollback_brings_back_what_was_declared_and_can_be_taken_back() {
    let (registry, _task, _store) = start().await;
    let shop = [service("web", 1), Object::backend(backend("web/a")), route("r", "shop.example", "web")];
    registry.apply(&me(), declare("shop", shop)).await.expect("applied");
    let before = all_declared(&registry.current());
    registry.set_operator_state(&me(), key("web/a"), OperatorState::Draining, None).await.expect("set");
    let other =
        Apply { prune: true, ..declare("shop", [service("web", 2), Object::backend(backend("web/a"))]) };
    registry.apply(&me(), other).await.expect("applied");
    registry.delete(&me(), object_key("service web"), None, true).await.expect("deleted");
    let after = all_declared(&registry.current());

    let dry = Rollback { dry_run: true, ..to(1) };
    let dry = registry.rollback(&me(), dry).await.expect("possible");
    assert_eq!((dry.revision, dry.changes.len()), (Revision(4), 4), "the implicit route with it");
    assert_eq!(all_declared(&registry.current()), after);

    let done = registry.rollback(&me(), to(1)).await.expect("rolled back");
    assert_eq!((done.revision, done.changes.len()), (Revision(5), 4));
    assert_eq!(all_declared(&registry.current()), before);
    let info = registry.revision(Revision(5)).await.expect("read").expect("remembered");
    assert_eq!((info.cause(), info.rolled_back_to), (v1::RevisionCause::Rollback, 1));
    assert_eq!((info.message.as_str(), info.changes), ("why", 4));

    registry.rollback(&me(), to(4)).await.expect("rolled back");
    assert_eq!(all_declared(&registry.current()), after);
    let same = registry.rollback(&me(), to(6)).await.expect("nothing to do");
    assert_eq!((same.revision, same.changes.len()), (Revision(6), 0));
}

#[tokio::test]
async fn a_rollback_leaves_operator_states_and_leases_alone() {
    let (registry, _task, _store) = start().await;
    registry.register(&me(), fixed("web/a", "")).await.expect("registered");
    registry.register(&me(), fixed("web/b", "")).await.expect("registered");
    let mut other = fixed("web/a", "");
    other.backend.weight = 7;
    registry.register(&me(), other).await.expect("registered");
    registry.set_operator_state(&me(), key("web/a"), OperatorState::Draining, None).await.expect("set");
    registry.deregister(&me(), Target::Backend(key("web/b"))).await.expect("gone");
    registry.register(&me(), leased("web/b", "agent")).await.expect("registered");
    registry.register(&me(), leased("web/c", "agent")).await.expect("registered");

    let done = registry.rollback(&me(), to(2)).await.expect("rolled back");
    assert_eq!(done.changes.iter().map(|c| c.key.to_string()).collect::<Vec<_>>(), ["backend web/a"]);
    assert!(done.warnings[0].contains("backend web/b was registered with a lease"), "{:?}", done.warnings);
    let current = registry.current();
    let a = current.backend(&key("web/a")).and_then(|e| e.object.value.as_backend()).expect("there");
    assert_eq!((a.weight, a.operator_state), (1, OperatorState::Draining));
    assert!(current.backend(&key("web/b")).expect("there").lease_id().is_some());
    assert!(current.backend(&key("web/c")).is_some());
}

#[tokio::test]
async fn a_service_that_was_not_declared_stays_for_its_backends() {
    let (registry, _task, _store) = start().await;
    registry.register(&me(), leased("web/a", "agent")).await.expect("registered");
    registry.apply(&me(), declare("shop", [service("web", 3), service("idle", 1)])).await.expect("applied");
    let done = registry.rollback(&me(), to(1)).await.expect("rolled back");
    let current = registry.current();
    assert!(current.get(&object_key("service web")).expect("has a backend").meta.implicit);
    assert!(current.get(&object_key("service idle")).is_none());
    assert!(done.warnings[0].contains("still has 1 backends of others"), "{:?}", done.warnings);
    registry.deregister(&me(), Target::Backend(key("web/a"))).await.expect("gone");
    assert_eq!(registry.current().len(), 0);
}

#[tokio::test]
async fn what_is_not_made_or_forgotten_is_out_of_range() {
    let store = Shared::new();
    let (registry, _task) = kept(&store, 2).await;
    for n in 1..=5 {
        registry.apply(&me(), declare("shop", [service("web", n)])).await.expect("applied");
    }
    for revision in [2, 6] {
        let error = registry.rollback(&me(), to(revision)).await.expect_err("unknown");
        assert!(
            matches!(error, Error::OutOfRange { floor: Revision(3), current: Revision(5), .. }),
            "{error}"
        );
        let error = registry.diff(Revision(revision), None).await.expect_err("unknown");
        assert!(error.to_string().contains("from 3 to 5"), "{error}");
    }
    let stale = Rollback { if_revision: Some(Revision(4)), ..to(3) };
    let error = registry.rollback(&me(), stale).await.expect_err("stale");
    assert!(matches!(error, Error::RevisionMismatch { .. }), "{error}");
    registry.rollback(&me(), to(3)).await.expect("known");
}

#[tokio::test(start_paused = true)]
async fn every_change_and_every_refusal_is_in_the_audit_log() {
    let (registry, task, store) = start().await;
    registry.register(&me(), fixed("web/a", "")).await.expect("registered");
    registry.register(&me(), fixed("web/a", "")).await.expect("the same again");
    registry.delete(&me(), object_key("service web"), None, false).await.expect_err("has a backend");
    registry.refused(&me(), "Apply", &[], 3, &"ä".repeat(1_000));
    // Alone, within a second or so.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let records = registry.audit(None, 10).await.expect("read");
    let told: Vec<_> = records.iter().map(|r| (r.sequence, r.call.as_str(), r.code, r.revision)).collect();
    assert_eq!(told, [(3, "Apply", 3, 0), (2, "DeleteObject", 2, 0), (1, "Register", 0, 1)]);
    assert_eq!(records[0].reason.len(), 300);
    assert!(records[1].reason.contains("still has 1 backend"), "{}", records[1].reason);
    assert_eq!(records[1].objects, [object_key("service web").wire()]);

    registry.delete(&me(), object_key("route x"), None, false).await.expect_err("there is none");
    task.stop().await.expect("stops");
    let (registry, _task) = restart(&store).await;
    let records = registry.audit(None, 1).await.expect("read");
    assert_eq!((records[0].sequence, records[0].call.as_str()), (4, "DeleteObject"));
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_refusals_are_dropped_and_counted() {
    let store = Shared::new();
    let metrics = Metrics::default();
    let options = Options::new(metrics.clone());
    let (registry, _task) = Registry::start(Box::new(store.clone()), options).await.expect("starts");
    store.fail(Some(Error::StoreFull { store: "memory".to_owned(), reason: "no room".to_owned() }));
    registry.register(&me(), fixed("web/a", "")).await.expect_err("no room");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(metrics.audit_dropped.get(), 1);
    for _ in 0..1_500 {
        registry.refused(&me(), "Apply", &[], 3, "");
    }
    assert_eq!(metrics.audit_dropped.get(), 501);
    store.fail(None);
    registry.register(&me(), fixed("web/a", "")).await.expect("there is room again");
    assert_eq!(registry.audit(None, 10_000).await.expect("read").len(), 1_001);
}

/// One thing that happens to a small world.
#[derive(Debug, Clone)]
enum Op {
    Apply(Vec<(u8, u32)>, bool),
    Delete(u8, bool),
    Register(u8, u32),
    Lease(u8),
    Deregister(u8),
    State(u8, bool),
    Rollback(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (prop::collection::vec((0..8u8, 1..4u32), 0..5), any::<bool>()).prop_map(|(o, p)| Op::Apply(o, p)),
        1 => (0..8u8, any::<bool>()).prop_map(|(n, cascade)| Op::Delete(n, cascade)),
        2 => (2..6u8, 1..4u32).prop_map(|(n, w)| Op::Register(n, w)),
        2 => (2..6u8).prop_map(Op::Lease),
        1 => (2..6u8).prop_map(Op::Deregister),
        1 => (2..6u8, any::<bool>()).prop_map(|(n, d)| Op::State(n, d)),
        2 => (0..40u64).prop_map(Op::Rollback),
    ]
}

/// Two services, four backends of them, two routes.
fn object(n: u8, variant: u32) -> Object {
    match n {
        0 | 1 => service(&format!("s{n}"), variant),
        2..=5 => {
            let mut backend = backend(&name(n));
            backend.weight = variant;
            Object::backend(backend)
        }
        _ => route(&format!("r{n}"), &format!("h{n}.example"), &format!("s{}", variant % 2)),
    }
}

fn name(n: u8) -> String {
    format!("s{}/b{n}", n % 2)
}

async fn perform(registry: &Registry, op: Op) {
    // Much of this is refused: then nothing changes, which is a case like any other.
    match op {
        Op::Apply(objects, prune) => {
            let objects: BTreeMap<_, _> = objects.into_iter().collect();
            let objects = objects.into_iter().map(|(n, variant)| object(n, variant));
            let apply = Apply { prune, force: prune, ..declare("shop", objects) };
            let _ = registry.apply(&me(), apply).await;
        }
        Op::Delete(n, cascade) => {
            let key = object(n, 1).key;
            let cascade = cascade && key.kind == ObjectKind::Service;
            let _ = registry.delete(&me(), key, None, cascade).await;
        }
        Op::Register(n, weight) => {
            let mut wanted = fixed(&name(n), "");
            wanted.backend.weight = weight;
            let _ = registry.register(&me(), wanted).await;
        }
        Op::Lease(n) => _ = registry.register(&me(), leased(&name(n), "agent")).await,
        Op::Deregister(n) => _ = registry.deregister(&me(), Target::Backend(key(&name(n)))).await,
        Op::State(n, drain) => {
            let state = if drain { OperatorState::Draining } else { OperatorState::Enabled };
            let _ = registry.set_operator_state(&me(), key(&name(n)), state, None).await;
        }
        Op::Rollback(_) => {}
    }
}

/// Every difference and every rollback is what a model that keeps all revisions says.
async fn check(ops: Vec<Op>, keep: u32) {
    let store = Shared::new();
    let (registry, _task) = kept(&store, keep).await;
    let mut model = vec![all_declared(&registry.current())];
    for op in ops {
        let target = match &op {
            Op::Rollback(n) => Some(n % model.len() as u64),
            _ => None,
        };
        if let Some(revision) = target {
            match registry.rollback(&me(), to(revision)).await {
                Ok(_) => expect(&registry.current(), &model[usize::try_from(revision).expect("small")]),
                Err(Error::OutOfRange { floor, .. }) => assert!(revision < floor.0),
                Err(error) => panic!("{error}"),
            }
        } else {
            perform(&registry, op).await;
        }
        let now = registry.current();
        let len = usize::try_from(now.revision().0).expect("small") + 1;
        assert!(len <= model.len() + 1);
        model.resize(len, all_declared(&now));
        assert_eq!(model.last(), Some(&all_declared(&now)), "no revision, no change");
    }
    let page = registry.history(all()).await.expect("read");
    let manual = page.records.iter().filter(|r| !r.automatic).count();
    assert!(manual <= keep as usize && page.records.len() - manual <= keep as usize);
    let (floor, current) = (page.floor.0, registry.current().revision().0);
    assert!(manual == keep as usize || floor == 0);
    for from in floor..=current {
        for end in floor..=current {
            let found = registry.diff(Revision(from), Some(Revision(end))).await.expect("known").changes;
            let at = |revision| &model[usize::try_from(revision).expect("small")];
            let (a, b) = (at(from), at(end));
            let mut keys: Vec<_> = a.keys().chain(b.keys()).filter(|key| a.get(key) != b.get(key)).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(found.iter().map(|c| &c.key).collect::<Vec<_>>(), keys, "{from}..{end}");
            for change in &found {
                let plain = |e: &std::sync::Arc<crate::snapshot::Entry>| {
                    (e.object.body.to_vec(), e.meta.owner.clone())
                };
                assert_eq!(change.before.as_ref().map(plain).as_ref(), a.get(&change.key));
                assert_eq!(change.after.as_ref().map(plain).as_ref(), b.get(&change.key));
            }
        }
    }
}

/// `then` is declared now, but for what is leased now.
fn expect(now: &Snapshot, then: &Declared) {
    let mut then = then.clone();
    then.retain(|key, _| now.get(key).is_none_or(|entry| entry.meta.lease.is_none()));
    assert_eq!(all_declared(now), then);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn differences_and_rollbacks_are_as_if_every_revision_were_kept(
        ops in prop::collection::vec(op(), 1..30),
        keep in prop_oneof![1..6u32, Just(1_000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(check(ops, keep));
    }
}
