//! Registration, deregistration, and what operators do to single objects.

use weir_proto::{OperatorState, v1};

use crate::{
    error::Error,
    registry::{Registration, SettleEpoch, Target, testing::*},
    snapshot::{Position, Relation},
};

fn reweighted(mut registration: Registration) -> Registration {
    registration.backend.weight = 7;
    registration
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let (registry, _task, _) = start().await;
    for wanted in [fixed("web/a", "eve"), leased("web/b", "agent")] {
        let first = registry.register(&me(), wanted.clone()).await.expect("ok");
        let again = registry.register(&me(), wanted).await.expect("ok");
        assert!(first.created && !again.created);
        assert_eq!((first.lease, first.revision), (again.lease, again.revision));
    }
}

#[tokio::test]
async fn other_content_needs_the_same_owner() {
    let (registry, _task, _) = start().await;
    let first = registry.register(&me(), leased("web/a", "one")).await.expect("ok");
    let refused = registry.register(&me(), reweighted(leased("web/a", "two"))).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
    let refused = registry.register(&me(), fixed("web/a", "one")).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "without a lease it is other content");
    let changed = registry.register(&me(), reweighted(leased("web/a", "one"))).await.expect("ok");
    assert_eq!((changed.lease, changed.created), (first.lease, false));
    assert_eq!(changed.revision, first.revision.next());
}

#[tokio::test]
async fn the_operators_state_survives_registration() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), leased("web/a", "one")).await.expect("ok");
    let (at, _) =
        registry.set_operator_state(&me(), key("web/a"), OperatorState::Draining, None).await.expect("ok");
    let (again, _) =
        registry.set_operator_state(&me(), key("web/a"), OperatorState::Draining, None).await.expect("ok");
    assert_eq!(at, again);
    registry.register(&me(), leased("web/a", "one")).await.expect("ok");
    registry.register(&me(), reweighted(leased("web/a", "one"))).await.expect("ok");
    let current = registry.current();
    let backend = current.backend(&key("web/a")).and_then(|e| e.object.value.as_backend()).expect("there");
    assert_eq!((backend.operator_state, backend.weight), (OperatorState::Draining, 7));
}

#[tokio::test]
async fn a_service_comes_and_goes_with_its_backends_unless_declared() {
    let (registry, _task, _) = start().await;
    let web = object_key("service web");
    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    registry.register(&me(), leased("web/b", "")).await.expect("ok");
    assert!(registry.current().get(&web).is_some_and(|s| s.meta.implicit));
    registry.deregister(&me(), Target::Backend(key("web/a"))).await.expect("ok");
    assert!(registry.current().get(&web).is_some());
    registry.deregister(&me(), Target::Backend(key("web/b"))).await.expect("ok");
    assert_eq!(registry.current().len(), 0);

    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    registry.apply(&me(), declare("shop", [service("web", 2)])).await.expect("ok");
    registry.deregister(&me(), Target::Backend(key("web/a"))).await.expect("ok");
    assert!(registry.current().get(&web).is_some_and(|s| !s.meta.implicit));
}

#[tokio::test]
async fn a_lease_names_its_backend_and_no_other() {
    let (registry, _task, _) = start().await;
    let lease = registry.register(&me(), leased("web/a", "")).await.expect("ok").lease.expect("leased");
    let gone = registry.deregister(&me(), Target::Lease(lease)).await.expect("ok");
    assert!(gone.existed);
    registry.register(&me(), leased("web/a", "")).await.expect("ok");
    let again = registry.deregister(&me(), Target::Lease(lease)).await.expect("ok");
    assert!(!again.existed, "the old lease is not the new backend's");
    assert_eq!(registry.heartbeat(&[lease]).unknown, [lease]);
}

#[tokio::test]
async fn a_service_with_backends_is_deleted_only_with_them() {
    let (registry, _task, _) = start().await;
    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    let refused = registry.delete(&me(), object_key("service web"), None, false).await;
    assert!(matches!(refused, Err(Error::Precondition { .. })), "{refused:?}");
    let before = registry.current().revision();
    let at = registry.delete(&me(), object_key("service web"), Some(before), true).await.expect("ok");
    assert_eq!((at, registry.current().len()), (before.next(), 0));
    let refused = registry.delete(&me(), object_key("service web"), None, true).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    let refused = registry.delete(&me(), object_key("route web"), None, true).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}

#[tokio::test]
async fn a_stale_revision_is_refused() {
    let (registry, _task, _) = start().await;
    let at = registry.register(&me(), fixed("web/a", "")).await.expect("ok").revision;
    registry.register(&me(), fixed("web/b", "")).await.expect("ok");
    let refused = registry.delete(&me(), object_key("backend web/a"), Some(at), false).await;
    assert!(matches!(refused, Err(Error::RevisionMismatch { .. })), "{refused:?}");
    let refused = registry.set_operator_state(&me(), key("web/a"), OperatorState::Disabled, Some(at)).await;
    assert!(matches!(refused, Err(Error::RevisionMismatch { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_epoch_is_accepted_once() {
    let (registry, _task, _) = start().await;
    let epoch = registry.current().position().epoch;
    let mut events = registry.events().read(0);
    let wanted = SettleEpoch { epoch, anew: false };
    let first = registry.settle_epoch(&me(), wanted).await.expect("ok");
    assert_eq!(registry.settle_epoch(&me(), wanted).await.expect("ok"), first, "nothing has changed");
    assert!(registry.current().epoch_accepted());
    assert_eq!(events.next().await.r#type(), v1::EventType::EpochAccepted);
    let other = SettleEpoch { epoch: weir_proto::Epoch(epoch.0 ^ 1), anew: true };
    let refused = registry.settle_epoch(&me(), other).await;
    assert!(matches!(refused, Err(Error::EpochMismatch { .. })), "{refused:?}");
    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    let second = registry.settle_epoch(&me(), wanted).await.expect("ok");
    assert_eq!(registry.current().accepted(), second.revision, "what has changed since is accepted too");
}

#[tokio::test]
async fn a_new_epoch_goes_on_with_the_revisions_and_outlasts_a_restart() {
    let store = Shared::new();
    let (registry, task) = restart(&store).await;
    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    let before = registry.current().position();
    let wanted = SettleEpoch { epoch: before.epoch, anew: true };
    let settled = registry.settle_epoch(&me(), wanted).await.expect("ok");
    assert!(settled.is_new && settled.epoch != before.epoch);
    let now = registry.current().position();
    assert_eq!((now.epoch, now.revision, now.digest), (settled.epoch, before.revision.next(), before.digest));
    let record = registry.revision(now.revision).await.expect("read").expect("in the history");
    assert_eq!((record.cause(), record.digest), (v1::RevisionCause::Epoch, Some(now.digest.0)));
    assert!(record.message.contains(&before.epoch.to_string()), "{}", record.message);
    task.stop().await.expect("stopped");
    let (again, _task) = restart(&store).await;
    assert_eq!(again.current().position(), now);
    assert!(!again.current().epoch_accepted());
    assert_eq!(again.current().relation(before), Relation::OtherEpoch);
    assert_eq!(again.current().relation(Position { epoch: now.epoch, ..before }), Relation::Earlier);
}
