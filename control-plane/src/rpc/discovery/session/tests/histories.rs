//! Proxies whose history is not the store's, and what they and their operators hear.

use super::*;
use crate::registry::{SettleEpoch, Target};

impl Proxy {
    /// A proxy of a control plane that is at revision 2, which has what `has` makes of that.
    async fn beside_two(has: impl FnOnce(Position) -> Position) -> (Self, Self) {
        let other = Self::with(None).await;
        for n in 1..=2 {
            other.register(&format!("10.0.0.{n}:80")).await;
        }
        let newest = other.api.registry.current().position();
        let proxy = Self::beside(&other, "apart", Some(has(newest)));
        (other, proxy)
    }

    /// The next message that is no ping.
    async fn next_state(&mut self) -> Option<control_message::Message> {
        loop {
            match self.next().await {
                Some(control_message::Message::Ping(v1::Ping { sequence })) => {
                    self.say(Message::Pong(v1::Pong { sequence })).await;
                }
                other => return other,
            }
        }
    }

    async fn page(&mut self) -> v1::SnapshotPage {
        match self.next_state().await {
            Some(control_message::Message::SnapshotPage(page)) => page,
            other => panic!("not a page: {other:?}"),
        }
    }

    /// Nothing comes for minutes.
    async fn is_left_alone(&mut self) {
        let state = timeout(5 * MINUTE, self.next_state()).await;
        assert!(state.is_err(), "{state:?}");
    }

    async fn acknowledge(&self, position: Option<v1::Position>) {
        self.say(Message::Ack(v1::Ack { position, refused: Vec::new() })).await;
        // It is read, and what follows from it done.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    /// What an operator does.
    async fn accept(&self) -> crate::registry::Settled {
        let epoch = self.api.registry.current().position().epoch;
        let anew = self.api.fleet.has_other_histories(epoch);
        let wanted = SettleEpoch { epoch, anew };
        self.api.registry.settle_epoch(&Caller::own(), wanted).await.expect("settled")
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_ahead_is_left_alone_until_an_operator_begins_a_new_epoch() {
    let ahead = |at: Position| Position { revision: Revision(7), digest: Digest(5), ..at };
    let (other, mut proxy) = Proxy::beside_two(ahead).await;
    proxy.is_left_alone().await;
    let alarms = proxy.api.fleet.alarms();
    assert!(
        alarms[0]
            .starts_with("apart: the store is behind: its newest revision was 2, in force is revision 7")
    );
    assert!(alarms[0].contains("`weir epoch accept`, which begins a new epoch"), "{alarms:?}");
    let before = other.api.registry.current().position().epoch;

    let settled = proxy.accept().await;
    assert!(settled.is_new && settled.epoch != before);
    let page = proxy.page().await;
    assert_eq!(page.position.map(|at| (at.epoch, at.revision)), Some((settled.epoch.0, 3)));
    assert!(!page.epoch_accepted, "it may still lack too much");
    assert!(!proxy.api.fleet.has_other_histories(settled.epoch), "it has yet to judge the new one");
    proxy.acknowledge(page.position).await;
    assert_eq!(proxy.api.fleet.alarms(), Vec::<String>::new());
    let settled = proxy.accept().await;
    assert!(!settled.is_new, "nobody is apart");
}

#[tokio::test(start_paused = true)]
async fn a_fork_is_not_joined_when_the_numbers_catch_up() {
    let ahead = |at: Position| Position { revision: Revision(3), digest: Digest(5), ..at };
    let (_other, mut proxy) = Proxy::beside_two(ahead).await;
    proxy.is_left_alone().await;
    for n in 3..=6 {
        proxy.register(&format!("10.0.0.{n}:80")).await;
    }
    proxy.is_left_alone().await;
    let alarms = proxy.api.fleet.alarms();
    assert!(alarms[0].contains("another history of this epoch: in force is a revision 3"), "{alarms:?}");
    assert_eq!(proxy.api.fleet.kept_out()["fork"], 1);
    // Asking for everything does not help.
    proxy.say(Message::Resync(v1::Resync::default())).await;
    proxy.is_left_alone().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_revision_with_another_digest_is_another_history() {
    let (_other, mut proxy) =
        Proxy::beside_two(|at| Position { digest: Digest(at.digest.0 ^ 1), ..at }).await;
    proxy.is_left_alone().await;
    assert_eq!(proxy.api.fleet.kept_out()["fork"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_delta_names_the_digest_it_starts_from_and_a_snapshot_the_one_from_which_removals_are_known() {
    let (_other, mut proxy) = Proxy::beside_two(|at| at).await;
    let Some(control_message::Message::Delta(delta)) = proxy.next_state().await else { panic!("no delta") };
    let digest = proxy.api.registry.current().position().digest.0;
    assert_eq!((delta.from_revision, delta.from_digest), (2, digest));
    proxy.acknowledge(delta.to).await;
    proxy.say(Message::Resync(v1::Resync::default())).await;
    assert_eq!(proxy.page().await.removals_from, digest, "also when it wants everything");
}

#[tokio::test(start_paused = true)]
async fn who_was_away_for_longer_than_removals_are_remembered_gets_everything_and_may_keep_it_out() {
    let other = Proxy::with_tombstones(0, None).await;
    other.register("10.0.0.1:80").await;
    let old = other.api.registry.current().position();
    let backend = BackendKey::try_from("web/10.0.0.1:80").expect("a key");
    other.api.registry.deregister(&Caller::own(), Target::Backend(backend)).await.expect("removed");
    let mut proxy = Proxy::beside(&other, "apart", Some(old));
    let page = proxy.page().await;
    assert_eq!((page.removals_from, page.accepted_revision), (0, 0));
    let kept_out = v1::KeptOut {
        offered: page.position,
        reason: v1::KeptOutReason::Shrinks as i32,
        backends: 2,
        backends_in_force: 9,
        ..Default::default()
    };
    proxy.say(Message::KeptOut(kept_out)).await;
    proxy.is_left_alone().await;
    let alarms = proxy.api.fleet.alarms();
    assert!(alarms[0].contains("revision 2 is kept out: it has 2 backends, in force are 9"), "{alarms:?}");
    assert_eq!(proxy.api.fleet.kept_out()["shrinks"], 1);
    let settled = other.accept().await;
    assert!(!settled.is_new);
    let page = proxy.page().await;
    assert_eq!(page.accepted_revision, settled.revision.0, "at once");
    proxy.acknowledge(page.position).await;
    assert_eq!(proxy.api.fleet.alarms(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn of_a_proxy_that_cannot_say_so_it_is_concluded() {
    let mut proxy = Proxy::with(Some(elsewhere())).await;
    let page = proxy.page().await;
    assert_eq!(proxy.api.fleet.alarms(), Vec::<String>::new(), "it may be at work");
    proxy.is_left_alone().await;
    let alarms = proxy.api.fleet.alarms();
    assert!(alarms[0].contains("is not acknowledged, and another one is in force"), "{alarms:?}");
    proxy.acknowledge(page.position).await;
    assert_eq!(proxy.api.fleet.alarms(), Vec::<String>::new());
}
