//! What the operator state means to a drain, and a drain to it.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_that_is_disabled_stays_so_until_it_goes() {
    let world = World::new().await;
    let proxy = world.join("edge");
    let disabled = world.set(OperatorState::Disabled).await;
    let mut drain = world.drain(MINUTE).await;
    let progress = drain.until(|_| true).await;
    assert_eq!((progress.revision, world.state()), (disabled, Some(OperatorState::Disabled)));
    world.counts(&proxy, 0);
    drain.removed_after(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn given_up_it_leaves_the_backend_draining_and_goes_on_after_a_restart() {
    let world = World::new().await;
    let _silent = world.join("edge");
    let mut drain = world.drain(MINUTE).await;
    let since = drain.until(|_| true).await.revision;
    drain.task.abort();
    assert!(drain.task.await.is_err());
    assert_eq!((world.state(), world.outcomes("given_up")), (Some(OperatorState::Draining), 1));

    let store = world.store.clone();
    drop(world);
    let world = World::over(store).await;
    let proxy = world.join("edge");
    let mut drain = world.drain(MINUTE).await;
    assert_eq!(drain.until(|_| true).await.revision, since, "it is not drained anew");
    world.counts(&proxy, 0);
    drain.removed_after(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn between_the_last_look_and_the_removal_somebody_may_change_their_mind() {
    let world = World::new().await;
    let since = world.set(OperatorState::Draining).await;
    let remove =
        Remove { target: Target::Backend(key("web/a")), unchanged_since: Some(since), withdraws: true };
    world.set(OperatorState::Enabled).await;
    let refused = world.registry.remove_drained(&me(), remove.clone()).await;
    assert!(matches!(refused, Err(Error::Precondition { .. })), "{refused:?}");
    let again = world.set(OperatorState::Draining).await;
    let refused = world.registry.remove_drained(&me(), remove.clone()).await;
    assert!(matches!(refused, Err(Error::RevisionMismatch { .. })), "{refused:?}");
    let (from, to) = (OperatorState::Disabled, OperatorState::Draining);
    let refused = world.registry.change_operator_state(&me(), key("web/a"), from, to).await;
    assert!(matches!(refused, Err(Error::Precondition { .. })), "{refused:?}");
    let remove = Remove { unchanged_since: Some(again), ..remove };
    assert!(world.registry.remove_drained(&me(), remove.clone()).await.expect("ok").existed);
    assert!(!world.registry.remove_drained(&me(), remove).await.expect("ok").existed);
}
