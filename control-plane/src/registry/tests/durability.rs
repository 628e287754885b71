//! Acknowledged means stored; what is not stored did not happen.

use weir_proto::Revision;

use crate::{
    error::Error,
    registry::{Target, testing::*},
};

fn full() -> Error {
    Error::StoreFull { store: "memory".into(), reason: "no room".into() }
}

#[tokio::test]
async fn a_full_store_changes_nothing_and_recovers() {
    let (registry, _task, store) = start().await;
    let before = registry.register(&me(), leased("web/a", "")).await.expect("ok");
    store.fail(Some(full()));
    let refused = registry.register(&me(), fixed("web/b", "")).await;
    assert!(matches!(refused, Err(Error::StoreFull { .. })), "{refused:?}");
    assert_eq!(registry.current().revision(), before.revision);
    let renewed = registry.register(&me(), leased("web/a", "")).await.expect("what needs no write goes on");
    assert_eq!(renewed.lease, before.lease);
    store.fail(None);
    let after = registry.register(&me(), fixed("web/b", "")).await.expect("ok");
    assert_eq!(after.revision, before.revision.next());
}

#[tokio::test]
async fn a_lost_store_ends_the_registry() {
    let (registry, mut task, store) = start().await;
    store.fail(Some(Error::StoreFailed { store: "memory".into(), reason: "fsync: EIO".into() }));
    let refused = registry.register(&me(), fixed("web/a", "")).await;
    assert!(matches!(refused, Err(Error::StoreFailed { .. })), "{refused:?}");
    assert!(matches!(task.ended().await, Err(Error::StoreFailed { .. })));
    assert!(matches!(registry.register(&me(), fixed("web/a", "")).await, Err(Error::Stopping)));
    assert_eq!(registry.current().revision(), Revision(0), "reads go on");
}

#[tokio::test]
async fn stopping_answers_what_was_asked_before() {
    let (registry, task, _) = start().await;
    let asked: Vec<_> = (0..100)
        .map(|n| {
            let registry = registry.clone();
            tokio::spawn(async move { registry.register(&me(), fixed(&format!("web/{n}"), "")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    task.stop().await.expect("stops");
    let mut stored = 0;
    for answer in asked {
        match answer.await.expect("no panic") {
            Ok(_) => stored += 1,
            Err(error) => assert!(matches!(error, Error::Stopping), "{error}"),
        }
    }
    assert_eq!(registry.current().count(weir_proto::ObjectKind::Backend), stored);
    assert!(stored > 0);
}

#[tokio::test]
async fn a_restart_brings_back_state_and_deltas() {
    let (registry, task, store) = start().await;
    for name in ["web/a", "web/b", "api/a"] {
        registry.register(&me(), fixed(name, "")).await.expect("ok");
    }
    registry.deregister(&me(), Target::Backend(key("api/a"))).await.expect("ok");
    let before = registry.current();
    task.stop().await.expect("stops");
    let (registry, _task) = restart(&store).await;
    let after = registry.current();
    assert_eq!(after.position(), before.position());
    for revision in 0..=before.revision().0 {
        let body = |s: &crate::snapshot::Snapshot| s.delta_since(Revision(revision)).map(|d| d.body());
        assert_eq!(body(&after), body(&before), "since {revision}");
    }
}
