//! Registration, deregistration, and what operators do to single objects.

use weir_proto::{OperatorState, v1};

use crate::{
    address_policy::AddressPolicy,
    error::Error,
    registry::{Outcome, OwnAddresses, Registration, Rollback, SettleEpoch, Target, testing::*},
    snapshot::{Object, Position, Relation},
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
        assert!(first.outcome == Outcome::Created && again.outcome == Outcome::Unchanged);
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
    assert_eq!((changed.lease, changed.backend.weight), (first.lease, 7));
    assert_eq!(changed.revision, first.revision.next());
    let Outcome::Changed { before, ttl } = changed.outcome else { panic!("{:?}", changed.outcome) };
    assert_eq!((before.weight, ttl), (1, Some(std::time::Duration::from_secs(10))));
}

#[tokio::test]
async fn an_operators_weight_outlasts_registrations_files_and_rollbacks_and_is_given_back() {
    let (registry, _task, _) = start().await;
    let lease = registry.register(&me(), leased("web/a", "one")).await.expect("ok").lease.expect("leased");
    registry.apply(&me(), declare("shop", [Object::backend(backend("web/b"))])).await.expect("ok");
    let weights = |name: &str| {
        let current = registry.current();
        let entry = current.backend(&key(name)).expect("there");
        let backend = entry.object.value.as_backend().expect("a backend");
        (backend.weight, backend.weight_in_force(), entry.object.level)
    };
    let before = registry.current().revision();
    for name in ["web/a", "web/b"] {
        let (at, set) = registry.set_weight(&me(), key(name), Some(3), None).await.expect("ok");
        let (again, _) = registry.set_weight(&me(), key(name), Some(3), None).await.expect("ok");
        assert_eq!((at, set.weight_in_force()), (again, 3));
        assert_eq!(weights(name), (1, 3, 4), "an older proxy must know that it does not know");
    }
    assert!(registry.heartbeat(&[lease]).unknown.is_empty());
    let again = registry.register(&me(), leased("web/a", "one")).await.expect("ok");
    assert_eq!((again.outcome, again.backend.weight_in_force()), (Outcome::Unchanged, 3));
    registry.register(&me(), reweighted(leased("web/a", "one"))).await.expect("ok");
    assert_eq!(weights("web/a"), (7, 3, 4));
    let mut heavier = backend("web/b");
    heavier.weight = 9;
    registry.apply(&me(), declare("shop", [Object::backend(heavier)])).await.expect("ok");
    assert_eq!(weights("web/b"), (9, 3, 4));
    let wanted = Rollback {
        to: before,
        dry_run: false,
        if_revision: None,
        message: String::new(),
        own_addresses: OwnAddresses::default(),
    };
    registry.rollback(&me(), wanted).await.expect("ok");
    assert_eq!((weights("web/a"), weights("web/b")), ((7, 3, 4), (1, 3, 4)));
    registry.set_operator_state(&me(), key("web/a"), OperatorState::Draining, None).await.expect("ok");
    registry.set_weight(&me(), key("web/a"), None, None).await.expect("ok");
    assert_eq!(weights("web/a"), (7, 7, 1));
    let gone = registry.set_weight(&me(), key("web/none"), Some(3), None).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn what_would_have_proxies_ask_the_control_plane_itself_is_refused_whoever_says_it() {
    let own = std::net::SocketAddr::from(([10, 0, 0, 1], 7401));
    let (registry, _task) = start_with(AddressPolicy::new(true, [own])).await;
    let probed = |port| {
        let tcp = Some(v1::health_check::Probe::Tcp(v1::TcpProbe {}));
        let health_check = Some(v1::HealthCheck { probe: tcp, port: Some(port), ..Default::default() });
        Object::service(v1::Service { name: "web".into(), health_check, ..Default::default() })
            .expect("valid")
    };
    let field = |error: Error| match error {
        Error::Forbidden(invalid) => invalid.field,
        other => panic!("{other}"),
    };
    // The service after the backend, the backend after the service, both at once, and as it was before.
    registry.register(&me(), fixed("web/a", "")).await.expect("10.0.0.1:80 is no socket of its own");
    let refused = registry.apply(&me(), declare("shop", [probed(7401)])).await.expect_err("its admin page");
    assert_eq!(field(refused), "documents[0].objects[0].health_check.port");
    registry.apply(&me(), declare("shop", [probed(7402)])).await.expect("nobody is there");
    registry.deregister(&me(), Target::Backend(key("web/a"))).await.expect("ok");
    let empty = registry.apply(&me(), declare("shop", [probed(7401)])).await.expect("there is nobody to ask");
    let refused = registry.register(&me(), fixed("web/a", "")).await.expect_err("its admin page");
    assert_eq!(field(refused), "backend.address");
    let both = declare("shop", [probed(7401), Object::backend(backend("web/a"))]);
    registry.apply(&me(), both).await.expect_err("its admin page");
    registry.apply(&me(), declare("shop", [probed(7402)])).await.expect("ok");
    registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    let back = Rollback {
        to: empty.revision,
        dry_run: false,
        if_revision: None,
        message: String::new(),
        own_addresses: OwnAddresses::default(),
    };
    // Rolled back, the backend goes with it; so the service alone.
    registry.rollback(&me(), back).await.expect("nobody is left to ask");
    let mut direct = backend("web/a");
    direct.address = own;
    let refused =
        registry.apply(&me(), declare("shop", [Object::backend(direct)])).await.expect_err("its own");
    assert_eq!(field(refused), "documents[0].objects[0].address");
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
