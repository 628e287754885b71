//! The agent against a fake registry, with the clock stopped.

use super::{testing::Fake, *};

const TTL: Duration = Duration::from_secs(15);

struct Running {
    wish: watch::Sender<Wish>,
    state: watch::Receiver<State>,
    task: tokio::task::JoinHandle<Option<Result<v1::DeregisterResponse, String>>>,
}

fn start(fake: &Fake) -> Running {
    let backend = v1::Backend { service: "web".into(), address: "127.0.0.1:1".into(), ..Default::default() };
    let agent = Agent::of(vec![Plane::over(fake.channel(), "http://fake")], backend, TTL, "host".into());
    let (wish, wishes) = watch::channel(Wish::Stay);
    let (sender, state) = watch::channel(State::Starting);
    let task = tokio::spawn(async move { agent.attend(wishes, &sender).await });
    Running { wish, state, task }
}

async fn registered(state: &mut watch::Receiver<State>) {
    let found = state.wait_for(|s| matches!(s, State::Registered { .. })).await;
    assert!(found.is_ok(), "the agent ended");
}

async fn away(state: &mut watch::Receiver<State>) {
    let found = state.wait_for(|s| matches!(s, State::Away { .. })).await;
    assert!(found.is_ok(), "the agent ended");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_in_time() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    tokio::time::sleep(10 * TTL).await;
    let gaps = fake.heartbeat_gaps();
    assert!(gaps.len() >= 29, "{} heartbeats in ten ttls", gaps.len());
    assert!(gaps.iter().all(|gap| *gap <= TTL / 3 + Duration::from_millis(10)), "{gaps:?}");
    assert_eq!(fake.registrations(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_lease_is_registered_again() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    fake.forget();
    fake.wait(|f| f.registrations() == 2).await;
    registered(&mut agent.state).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_took_out_is_not_registered_again() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    fake.withdraw();
    let found = agent.state.wait_for(|s| *s == State::Withdrawn).await;
    assert!(found.is_ok(), "the agent ended");
    let heartbeats = fake.heartbeat_gaps().len();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(!agent.task.is_finished(), "the program runs on");
    assert_eq!((fake.registrations(), fake.heartbeat_gaps().len()), (1, heartbeats));

    let asked = tokio::time::Instant::now();
    agent.wish.send_replace(Wish::Leave { drain: Some(Duration::from_mins(1)) });
    assert_eq!(agent.task.await.expect("no panic"), None);
    assert_eq!((fake.deregistrations(), asked.elapsed()), (0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_comes_back_is_told_anew() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    fake.stop();
    away(&mut agent.state).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    fake.restart();
    let back = tokio::time::Instant::now();
    fake.wait(|f| f.registrations() == 2).await;
    assert!(back.elapsed() <= TTL / 3 + Duration::from_secs(1), "took {:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_put_off_comes_back_when_it_is_told_to() {
    let fake = Fake::start();
    let wait = Duration::from_secs(42);
    fake.put_off(wait);
    let mut agent = start(&fake);
    away(&mut agent.state).await;
    assert_eq!(fake.registrations(), 0);
    let began = tokio::time::Instant::now();
    registered(&mut agent.state).await;
    assert!((wait..wait + Duration::from_secs(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_on_while_it_drains() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    let before = fake.heartbeat_gaps().len();
    let drain = Some(Duration::from_mins(1));
    agent.wish.send_replace(Wish::Leave { drain });
    let answer = agent.task.await.expect("no panic").expect("was registered");
    assert!(answer.is_ok_and(|a| a.existed));
    assert!(fake.heartbeat_gaps().len() - before >= 11, "{:?}", fake.heartbeat_gaps());
    assert_eq!((fake.registrations(), fake.deregistrations()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_cut_short() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    let asked = tokio::time::Instant::now();
    agent.wish.send_replace(Wish::Leave { drain: Some(Duration::from_mins(1)) });
    fake.wait(|f| f.deregistrations() == 1).await;
    agent.wish.send_replace(Wish::Leave { drain: None });
    assert!(agent.task.await.is_ok_and(|answer| answer.is_some_and(|a| a.is_ok())));
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_after_the_control_plane_was_away() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    let asked = tokio::time::Instant::now();
    agent.wish.send_replace(Wish::Leave { drain: Some(Duration::from_mins(1)) });
    fake.wait(|f| f.deregistrations() == 1).await;
    fake.stop();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!agent.task.is_finished(), "the time is not up");
    fake.restart();
    let answer = agent.task.await.expect("no panic").expect("was registered");
    assert!(answer.is_ok_and(|a| a.existed));
    assert_eq!(fake.deregistrations(), 2);
    assert!(asked.elapsed() <= Duration::from_secs(65), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_nobody_answers_ends_with_its_time() {
    let fake = Fake::start();
    let mut agent = start(&fake);
    registered(&mut agent.state).await;
    let asked = tokio::time::Instant::now();
    fake.stop();
    agent.wish.send_replace(Wish::Leave { drain: Some(Duration::from_mins(1)) });
    let answer = agent.task.await.expect("no panic").expect("was registered");
    assert!(answer.is_err(), "{answer:?}");
    let took = asked.elapsed();
    assert!(took >= Duration::from_mins(1) && took <= Duration::from_secs(75), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn leaving_does_not_wait_for_an_absent_control_plane() {
    let fake = Fake::start();
    fake.stop();
    let mut agent = start(&fake);
    away(&mut agent.state).await;
    agent.wish.send_replace(Wish::Leave { drain: Some(Duration::from_mins(1)) });
    let asked = tokio::time::Instant::now();
    assert_eq!(agent.task.await.expect("no panic"), None);
    assert!(asked.elapsed() < Duration::from_secs(6));
}
