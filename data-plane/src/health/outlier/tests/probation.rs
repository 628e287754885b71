//! From an ejection to the one request that decides, and what follows from that.

use super::*;

const BASE: Duration = Duration::from_secs(30);
/// From one look of the sweeper to the next.
const TICK: Duration = Duration::from_millis(100);

/// How long the ejection of the first endpoint still lasts.
fn left(fixture: &Fixture) -> Duration {
    fixture.endpoint(0).ejection().unwrap().until.since(Moment::now())
}

#[tokio::test(start_paused = true)]
async fn after_its_time_one_request_decides_and_its_success_brings_the_backend_back_slowly() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.pass(BASE.saturating_sub(TICK)).await;
    assert!(fixture.begin(0).is_none(), "not before its time");
    fixture.pass(TICK).await;
    let mut first = fixture.begin(0).unwrap();
    assert!(fixture.begin(0).is_none(), "one decides, the others go elsewhere");
    learn(&fixture.service, &mut first, Verdict::Success);
    assert_eq!(fixture.marks(0), Marks::RAMPING);
    assert_eq!(fixture.service.live.ejected(), 0);
    assert!(fixture.begin(0).is_some() && fixture.endpoint(0).ejection().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_probation_that_fails_makes_the_ejection_longer_up_to_the_most() {
    let most = 2 * BASE + TICK;
    let mut fixture = Fixture::new(3, |d| d.max_ejection_time = most);
    fixture.fail(0, 5);
    for expected in [2 * BASE, most, most] {
        fixture.pass(left(&fixture)).await;
        let mut decides = fixture.begin(0).unwrap();
        learn(&fixture.service, &mut decides, Verdict::ServerError);
        assert_eq!(left(&fixture), expected);
        assert!(fixture.marks(0).has(Marks::EJECTED) && fixture.begin(0).is_none());
        assert_eq!(fixture.service.live.ejected(), 1);
    }
    let expected = [(EjectionCause::ConsecutiveGatewayFailure, 1), (EjectionCause::Probation, 3)];
    assert_eq!(fixture.ejections(), expected);
}

#[tokio::test(start_paused = true)]
async fn ejections_are_forgotten_one_for_each_quiet_interval() {
    let mut fixture = Fixture::new(3, |_| ());
    let mut times = Vec::new();
    for quiet in [Duration::ZERO, Duration::from_secs(9), Duration::from_secs(25)] {
        fixture.pass(quiet).await;
        fixture.fail(0, 5);
        times.push(left(&fixture));
        fixture.pass(left(&fixture)).await;
        learn(&fixture.service, &mut fixture.begin(0).unwrap(), Verdict::Success);
    }
    assert_eq!(times, [BASE, 2 * BASE, BASE]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_decides_nothing() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.pass(BASE).await;
    drop(fixture.begin(0).unwrap());
    assert!(fixture.marks(0).has(Marks::PROBATION));
    let mut second = fixture.begin(0).unwrap();
    learn(&fixture.service, &mut second, Verdict::Success);
    assert!(!fixture.marks(0).has(Marks::EJECTION));
}

#[tokio::test(start_paused = true)]
async fn requests_that_may_not_decide_do_not_come_until_nobody_else_has_for_long() {
    let mut fixture = Fixture::new(3, |_| ());
    // Some were under way when it was ejected.
    fixture.fail(0, 9);
    let post = Pick { may_decide: false, ..Pick::default() };
    fixture.pass((3 * BASE).saturating_sub(TICK)).await;
    assert!(fixture.marks(0).has(Marks::PROBATION) && !post.admits(&fixture.endpoint(0)));
    fixture.pass(TICK).await;
    assert!(post.admits(&fixture.endpoint(0)));
    assert_eq!(fixture.service.live.ejected(), 0);
    fixture.fail(0, 4);
    assert!(!fixture.marks(0).has(Marks::EJECTED), "they are forgiven");
    fixture.fail(0, 1);
    assert_eq!(left(&fixture), 2 * BASE, "it is judged as before, and remembered");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_long_to_decide_is_waited_for() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.pass(BASE).await;
    let mut slow = fixture.begin(0).unwrap();
    fixture.pass(10 * BASE).await;
    assert!(fixture.begin(0).is_none());
    learn(&fixture.service, &mut slow, Verdict::GatewayFailure);
    assert_eq!(left(&fixture), 2 * BASE);
}

#[tokio::test(start_paused = true)]
async fn who_ignores_health_does_not_decide() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.pass(BASE).await;
    fixture.end(0, 3, Verdict::Success);
    assert!(fixture.marks(0).has(Marks::PROBATION), "there may have been no choice");
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_comes_when_all_is_decided_changes_nothing() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.pass(BASE).await;
    let mut late = fixture.begin(0).unwrap();
    fixture.change(3, |d| d.disabled = true);
    fixture.look();
    learn(&fixture.service, &mut late, Verdict::GatewayFailure);
    assert!(!fixture.marks(0).has(Marks::EJECTION));
    assert_eq!(fixture.service.live.ejected(), 0);
}

/// It is alive; whether it does its work, the next request tells.
#[tokio::test(start_paused = true)]
async fn a_backend_that_has_enough_has_neither_failed_nor_succeeded() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 4);
    fixture.end(0, 3, Verdict::Limited);
    assert!(!fixture.marks(0).has(Marks::EJECTED));
    fixture.fail(0, 1);
    assert!(fixture.marks(0).has(Marks::EJECTED), "five in a row, with no success between");
    fixture.pass(left(&fixture)).await;
    learn(&fixture.service, &mut fixture.begin(0).unwrap(), Verdict::Limited);
    assert!(!fixture.marks(0).has(Marks::EJECTED), "it is alive");
}
