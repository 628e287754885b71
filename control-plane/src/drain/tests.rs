//! Drains of a real registry by proxies that say what a test wants, with the clock stopped.

mod states;

use tokio::task::JoinHandle;
use weir_proto::ProxyId;

use super::*;
use crate::{
    events::Reader,
    fleet::{Identity, Membership},
    registry::{
        Task,
        testing::{Shared, declare, fixed, key, leased, me, restart},
    },
    snapshot::Object,
};

const MINUTE: Duration = Duration::from_mins(1);

/// A control plane with the backend `web/a`.
struct World {
    registry: Registry,
    fleet: Fleet,
    metrics: Metrics,
    store: Shared,
    events: Reader,
    _task: Task,
}

impl World {
    async fn new() -> Self {
        let world = Self::over(Shared::new()).await;
        world.registry.register(&me(), fixed("web/a", "")).await.expect("ok");
        world
    }

    async fn over(store: Shared) -> Self {
        let (registry, task) = restart(&store).await;
        let metrics = Metrics::default();
        let events = registry.events();
        let fleet = Fleet::new(registry.current().position(), Arc::clone(events), metrics.clone());
        let events = events.read(0);
        Self { registry, fleet, metrics, store, events, _task: task }
    }

    async fn begin(&self, order: Order) -> Option<Drain> {
        Drain::begin(&self.registry, &self.fleet, &self.metrics, &me(), order).await.expect("ok")
    }

    /// Drains `web/a`, and notes how far that is.
    async fn drain(&self, within: Duration) -> Running {
        let drain = self.begin(operators(within)).await.expect("it is there");
        Running::new(drain)
    }

    fn join(&self, id: &str) -> Membership {
        let identity = Identity {
            id: ProxyId::try_from(id).expect("an id"),
            boot_id: 1,
            version: String::new(),
            zone: String::new(),
            advertised_address: String::new(),
            peer_address: String::new(),
        };
        self.fleet.join(identity).expect("room")
    }

    /// The proxy has the newest revision, and counts this many requests to the backend.
    fn counts(&self, proxy: &Membership, in_flight: u64) {
        let position = self.registry.current().position();
        proxy.acknowledge(position, Vec::new());
        let draining = vec![v1::BackendInFlight { backend: "web/a".into(), in_flight }];
        let revision = position.revision.0;
        proxy.report(v1::Report { draining, revision, ..Default::default() }, |_| true);
    }

    fn state(&self) -> Option<OperatorState> {
        let current = self.registry.current();
        current.backend(&key("web/a"))?.object.value.as_backend().map(|backend| backend.operator_state)
    }

    async fn set(&self, state: OperatorState) -> Revision {
        self.registry.set_operator_state(&me(), key("web/a"), state, None).await.expect("ok").0
    }

    fn outcomes(&self, outcome: &'static str) -> u64 {
        self.metrics.drains.get_or_create_owned(&[("outcome", outcome)]).get()
    }
}

/// A drain in a task of its own.
struct Running {
    task: JoinHandle<(Result<Progress, Error>, Duration)>,
    newest: watch::Receiver<Option<Progress>>,
}

impl Running {
    fn new(mut drain: Drain) -> Self {
        let (sender, newest) = watch::channel(None);
        let begin = Instant::now();
        let task = tokio::spawn(async move {
            loop {
                match drain.next().await {
                    Ok(progress) if progress.stage != Stage::Removed => {
                        sender.send_replace(Some(progress));
                    }
                    end => return (end, begin.elapsed()),
                }
            }
        });
        Self { task, newest }
    }

    /// Waits until it is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Progress) -> bool) -> Progress {
        let found = self.newest.wait_for(|progress| progress.as_ref().is_some_and(&wanted)).await;
        found.expect("it goes on").clone().expect("found")
    }

    async fn end(self) -> (Result<Progress, Error>, Duration) {
        self.task.await.expect("no panic")
    }

    /// Its end is as it should be, after so much time and at most a second more.
    async fn removed_after(self, time: Duration) -> Progress {
        let (end, took) = self.end().await;
        assert!(took >= time && took <= time + TICK, "{took:?}");
        end.expect("removed")
    }
}

fn operators(within: Duration) -> Order {
    Order { target: Target::Backend(key("web/a")), within, insists: false }
}

#[tokio::test(start_paused = true)]
async fn without_proxies_a_backend_goes_at_once() {
    let world = World::new().await;
    let end = world.drain(MINUTE).await.removed_after(Duration::ZERO).await;
    assert_eq!((end.revision, world.state()), (world.registry.current().revision(), None));
    assert!(end.existed);
    assert_eq!(world.outcomes("removed"), 1);
    assert!(world.begin(operators(MINUTE)).await.is_none(), "there is none any more");
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_every_live_proxy_and_no_longer() {
    let world = World::new().await;
    let (slow, busy) = (world.join("slow"), world.join("busy"));
    let mut drain = world.drain(10 * MINUTE).await;
    let progress = drain.until(|_| true).await;
    assert_eq!((progress.stage, progress.left.live), (Stage::Acknowledging, 2));
    world.counts(&busy, 3);
    drain.until(|p| p.left.in_flight == 3 && p.left.unacknowledged.len() == 1).await;
    tokio::time::sleep(MINUTE).await;
    world.counts(&slow, 0);
    drain.until(|p| p.stage == Stage::Finishing).await;
    assert_eq!(world.state(), Some(OperatorState::Draining));
    tokio::time::sleep(MINUTE).await;
    world.counts(&busy, 0);
    drain.removed_after(2 * MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_whose_stream_was_lost_counts_until_it_is_not_expected_back() {
    let world = World::new().await;
    drop(world.join("lost"));
    world.drain(MINUTE).await.removed_after(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_closed_in_the_last_tenth() {
    let world = World::new().await;
    let proxy = world.join("edge");
    let mut drain = world.drain(MINUTE).await;
    drain.until(|_| true).await;
    world.counts(&proxy, 1);
    let begin = Instant::now();
    drain.until(|p| p.stage == Stage::Finishing).await;
    assert_eq!(proxy.closes().next(), None);
    drain.until(|p| p.stage == Stage::Closing).await;
    assert!(begin.elapsed() >= MINUTE * 9 / 10 && begin.elapsed() < MINUTE * 19 / 20);
    let close = proxy.closes().next().expect("told");
    let over = close.over.and_then(weir_proto::duration_read).expect("a time");
    assert_eq!(close.backend, "web/a");
    assert!(over <= Duration::from_secs(6) && over >= Duration::from_secs(3), "{over:?}");

    // It may have come back just now, and must hear it then.
    tokio::time::sleep(2 * TICK).await;
    let again = proxy.closes().next().and_then(|c| weir_proto::duration_read(c.over?)).expect("told again");
    assert!(again < over);
    world.counts(&proxy, 0);
    drain.removed_after(begin.elapsed()).await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_does_not_answer_is_named_and_the_backend_stays() {
    let mut world = World::new().await;
    let (silent, busy) = (world.join("silent"), world.join("busy"));
    let mut drain = world.drain(MINUTE).await;
    drain.until(|_| true).await;
    world.counts(&busy, 2);
    let (end, took) = drain.end().await;
    assert_eq!(took, MINUTE + Duration::from_secs(1));
    let error = end.expect_err("not drained");
    assert!(matches!(error, Error::NotDrained { .. }));
    let text = error.to_string();
    assert!(text.contains("silent had not acknowledged") && text.contains("busy had requests"), "{text}");
    assert_eq!((world.state(), world.outcomes("timed_out")), (Some(OperatorState::Draining), 1));
    let mut told = String::new();
    while !told.contains("the drain of web/a ended") {
        let event = world.events.next().await;
        if event.r#type() == v1::EventType::Drain {
            told += &event.message;
        }
    }
    assert!(told.contains("web/a drains") && told.contains("2 requests in flight"), "{told}");

    // The call is repeated.
    let drain = world.drain(MINUTE).await;
    world.counts(&silent, 0);
    world.counts(&busy, 0);
    drain.removed_after(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_anyway_is_told_what_was_left() {
    let world = World::new().await;
    let (_silent, busy) = (world.join("silent"), world.join("busy"));
    let order = Order { insists: true, ..operators(MINUTE) };
    let mut drain = Running::new(world.begin(order).await.expect("there"));
    drain.until(|_| true).await;
    world.counts(&busy, 2);
    let (end, _) = drain.end().await;
    let left = end.expect("removed").left;
    assert_eq!((left.in_flight, left.unacknowledged.len(), world.state()), (2, 1, None));
}

#[tokio::test(start_paused = true)]
async fn enabled_in_between_it_stays() {
    let world = World::new().await;
    let proxy = world.join("edge");
    for insists in [false, true] {
        let order = Order { insists, ..operators(MINUTE) };
        let mut drain = Running::new(world.begin(order).await.expect("there"));
        drain.until(|_| true).await;
        world.counts(&proxy, 1);
        tokio::time::sleep(MINUTE / 2).await;
        world.set(OperatorState::Enabled).await;
        world.counts(&proxy, 0);
        let (end, took) = drain.end().await;
        assert!(matches!(end, Err(Error::Precondition { .. })) && took <= MINUTE / 2 + TICK);
        assert_eq!(world.state(), Some(OperatorState::Enabled));
    }
    assert_eq!(world.outcomes("enabled"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_before_it_was_enabled_and_drained_again_does_not_count() {
    let world = World::new().await;
    let (edge, other) = (world.join("edge"), world.join("other"));
    let mut drain = world.drain(MINUTE).await;
    drain.until(|_| true).await;
    world.counts(&edge, 0);
    drain.until(|p| p.left.unacknowledged.len() == 1).await;
    // Too quick to be seen in between.
    world.set(OperatorState::Enabled).await;
    let again = world.set(OperatorState::Draining).await;
    let progress = drain.until(|p| p.revision == again).await;
    assert_eq!(progress.left.unacknowledged.len(), 2);
    world.counts(&edge, 0);
    world.counts(&other, 0);
    drain.removed_after(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn several_drains_and_a_removal_do_not_disturb_each_other() {
    let world = World::new().await;
    let proxy = world.join("edge");
    let (mut first, mut second) = (world.drain(MINUTE).await, world.drain(10 * MINUTE).await);
    first.until(|_| true).await;
    second.until(|_| true).await;
    world.counts(&proxy, 1);
    first.until(|p| p.stage == Stage::Finishing).await;
    let gone = world.registry.deregister(&me(), Target::Backend(key("web/a"))).await.expect("ok").revision;
    // Nothing new is sent to it, but a request is still in flight.
    first.until(|p| p.revision == gone).await;
    world.counts(&proxy, 0);
    for drain in [first, second] {
        let end = drain.removed_after(Duration::ZERO).await;
        assert_eq!((end.revision, end.existed), (gone, true));
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_the_same_name_that_came_later_is_left_alone() {
    let world = World::new().await;
    world.registry.deregister(&me(), Target::Backend(key("web/a"))).await.expect("ok");
    let lease = async |world: &World| {
        world.registry.register(&me(), leased("web/a", "")).await.expect("ok").lease.expect("leased")
    };
    let old = lease(&world).await;
    let _silent = world.join("edge");
    let order = Order { target: Target::Lease(old), within: MINUTE, insists: true };
    let mut drain = Running::new(world.begin(order.clone()).await.expect("there"));
    drain.until(|_| true).await;
    world.registry.deregister(&me(), Target::Lease(old)).await.expect("ok");
    lease(&world).await;
    assert!(!drain.removed_after(Duration::ZERO).await.existed);
    assert_eq!(world.state(), Some(OperatorState::Enabled));
    assert!(world.begin(order).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_expires_meanwhile_changes_nothing() {
    let world = World::over(Shared::new()).await;
    world.registry.register(&me(), leased("web/a", "")).await.expect("ok");
    let proxy = world.join("edge");
    let mut drain = world.drain(MINUTE).await;
    drain.until(|_| true).await;
    world.counts(&proxy, 1);
    // Nobody renews it.
    tokio::time::sleep(MINUTE / 2).await;
    world.counts(&proxy, 0);
    drain.removed_after(MINUTE / 2).await;
    assert_eq!(world.state(), None);
}

#[tokio::test(start_paused = true)]
async fn clients_that_stay_with_a_backend_are_sent_away_before_it_goes() {
    let world = World::new().await;
    let wire = v1::Service {
        name: "web".into(),
        session_affinity: Some(v1::SessionAffinity::default()),
        ..Default::default()
    };
    let service = Object::service(wire).expect("valid");
    world.registry.apply(&me(), declare("shop", [service])).await.expect("ok");
    let proxy = world.join("edge");
    let mut drain = world.drain(MINUTE).await;
    drain.until(|_| true).await;
    world.counts(&proxy, 0);
    // A client may come back at any time; that none is there now is not enough.
    let progress = drain.until(|p| p.stage == Stage::Acknowledging && p.left.unacknowledged.len() == 1).await;
    let progress = if world.state() == Some(OperatorState::Disabled) {
        progress
    } else {
        let drained = progress.revision;
        drain.until(|p| p.revision > drained).await
    };
    assert_eq!(world.state(), Some(OperatorState::Disabled));
    assert_eq!(progress.revision, world.registry.current().revision());
    world.counts(&proxy, 0);
    drain.removed_after(Duration::ZERO).await;

    // Not done in time, it is DRAINING again.
    world.registry.register(&me(), fixed("web/a", "")).await.expect("ok");
    let mut drain = world.drain(MINUTE).await;
    drain.until(|_| true).await;
    world.counts(&proxy, 0);
    assert!(drain.end().await.0.is_err());
    assert_eq!(world.state(), Some(OperatorState::Draining));
}
