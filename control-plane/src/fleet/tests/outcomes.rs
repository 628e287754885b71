//! What becomes of a revision on each proxy, as those who wait for it hear.

use tokio::time::{advance, timeout};
use v1::Outcome::{Acknowledged, Away, Pending, Refused};

use super::*;

/// Each proxy's outcome, and the revision that it acknowledged.
type News = Vec<(String, v1::Outcome, u64)>;

fn of(news: std::collections::BTreeMap<ProxyId, Told>) -> News {
    let each = |(id, told): (ProxyId, Told)| {
        (id.to_string(), told.outcome, told.acknowledged.map_or(0, |(revision, _)| revision.0))
    };
    news.into_iter().map(each).collect()
}

async fn next(outcomes: &mut Outcomes) -> News {
    of(outcomes.next().await)
}

fn news(id: &str, outcome: v1::Outcome, revision: u64) -> (String, v1::Outcome, u64) {
    (id.to_owned(), outcome, revision)
}

fn refusal(changed: u64) -> Refusal {
    Refusal { said: v1::Refused::default(), changed: Revision(changed) }
}

#[tokio::test(start_paused = true)]
async fn all_come_first_and_then_what_changed_until_nobody_is_waited_for() {
    let fleet = fleet();
    let (a, b, c) = (serving(&fleet, "a"), serving(&fleet, "b"), serving(&fleet, "c"));
    c.acknowledge(at(7), Vec::new());
    fleet.published(at(7), Revision(0));
    let mut six = fleet.outcomes(Revision(6));
    assert_eq!(
        next(&mut six).await,
        [news("a", Pending, 0), news("b", Pending, 0), news("c", Acknowledged, 7)]
    );
    assert!(!six.is_settled());
    a.acknowledge(at(6), Vec::new());
    assert_eq!(next(&mut six).await, [news("a", Acknowledged, 6)]);
    // What follows is no news of this revision.
    a.acknowledge(at(7), Vec::new());
    says(&b, v1::ProxyState::Serving);
    assert!(timeout(Duration::from_secs(5), six.next()).await.is_err());
    b.acknowledge(at(7), Vec::new());
    assert_eq!((next(&mut six).await, six.is_settled()), (vec![news("b", Acknowledged, 7)], true));
}

#[tokio::test(start_paused = true)]
async fn only_what_the_revision_changed_is_refused_with_it() {
    let fleet = fleet();
    let proxy = serving(&fleet, "a");
    proxy.acknowledge(at(6), vec![refusal(4)]);
    proxy.acknowledge(at(8), vec![refusal(4), refusal(7)]);
    for (revision, outcome, acknowledged) in [(6, Acknowledged, 6), (7, Refused, 8), (8, Acknowledged, 8)] {
        let all = next(&mut fleet.outcomes(Revision(revision))).await;
        assert_eq!(all, [news("a", outcome, acknowledged)]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_can_realise_it_later_has_acknowledged_it_then() {
    let fleet = fleet();
    let proxy = serving(&fleet, "a");
    let mut six = fleet.outcomes(Revision(6));
    next(&mut six).await;
    proxy.acknowledge(at(6), vec![refusal(6)]);
    assert_eq!(next(&mut six).await, [news("a", Refused, 6)]);
    proxy.acknowledge(at(6), Vec::new());
    assert_eq!(next(&mut six).await, [news("a", Acknowledged, 6)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_proxy_is_waited_for_half_a_minute_and_one_that_drained_is_not() {
    let fleet = fleet();
    let (lost, drained) = (serving(&fleet, "a"), serving(&fleet, "b"));
    let mut six = fleet.outcomes(Revision(6));
    next(&mut six).await;
    says(&drained, v1::ProxyState::Draining);
    drop((lost, drained));
    let left = Instant::now();
    assert_eq!(next(&mut six).await, [news("a", Pending, 0), news("b", Away, 0)], "not connected any more");
    assert_eq!((next(&mut six).await, six.is_settled()), (vec![news("a", Away, 0)], true));
    assert_eq!(left.elapsed(), Duration::from_secs(30));
    assert_eq!(next(&mut fleet.outcomes(Revision(6))).await, [news("a", Away, 0)], "the other one is gone");
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_keeps_what_was_acknowledged_and_a_restart_does_not() {
    let fleet = fleet();
    drop(serving(&fleet, "a"));
    let mut five = fleet.outcomes(Revision(5));
    assert_eq!(next(&mut five).await, [news("a", Acknowledged, 5)]);
    let again = fleet.join(identity("a", 1)).expect("room");
    assert_eq!(next(&mut five).await, [news("a", Acknowledged, 5)], "connected");
    let restarted = fleet.join(identity("a", 2)).expect("room");
    assert_eq!((next(&mut five).await, five.is_settled()), (vec![news("a", Pending, 0)], false));
    drop(again);
    restarted.acknowledge(at(6), Vec::new());
    assert_eq!((next(&mut five).await, five.is_settled()), (vec![news("a", Acknowledged, 6)], true));
}

#[tokio::test(start_paused = true)]
async fn who_keeps_it_out_is_said_at_once_and_waited_for_again_once_an_operator_has_accepted_it() {
    let fleet = fleet();
    let proxy = serving(&fleet, "a");
    fleet.published(at(7), Revision(0));
    let mut seven = fleet.outcomes(Revision(7));
    next(&mut seven).await;
    let wire = v1::KeptOut { offered: Some(at(7).wire()), ..Default::default() };
    proxy.keeps_out(KeptOut::said(&wire, Some(at(5))));
    assert_eq!(
        (next(&mut seven).await, seven.is_settled()),
        (vec![news("a", v1::Outcome::KeptOut, 0)], true)
    );
    assert_eq!(next(&mut fleet.outcomes(Revision(5))).await, [news("a", Acknowledged, 5)], "that it serves");
    fleet.published(at(8), Revision(8));
    assert_eq!(next(&mut fleet.outcomes(Revision(7))).await, [news("a", Pending, 0)], "it has yet to judge");
    proxy.acknowledge(at(8), Vec::new());
    assert_eq!(next(&mut seven).await, [news("a", Acknowledged, 8)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_out_is_told_once_and_told_when_it_is_over() {
    let fleet = fleet();
    let mut events = fleet.events.read(0);
    let proxy = fleet.join(identity("a", 1)).expect("room");
    let kept = |revision| {
        let wire = v1::KeptOut { offered: Some(at(revision).wire()), ..Default::default() };
        KeptOut::said(&wire, None)
    };
    proxy.keeps_out(kept(5));
    proxy.keeps_out(kept(6));
    assert_eq!(fleet.list()[0].kept_out.as_ref().map(|kept| kept.revision), Some(6));
    drop(proxy);
    // The same process on another stream.
    let again = fleet.join(identity("a", 1)).expect("room");
    again.keeps_out(kept(6));
    again.acknowledge(at(6), Vec::new());
    let mut told = Vec::new();
    while !events.is_past(fleet.events.newest()) {
        told.push(events.next().await);
    }
    let told = told.iter().filter(|event| event.r#type() == v1::EventType::StateKeptOut);
    let told: Vec<_> = told.map(|event| event.message.contains("any more")).collect();
    assert_eq!(told, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_proxies_are_told_in_few_answers() {
    let fleet = fleet();
    let proxies: Vec<_> = (0..1_000).map(|n| serving(&fleet, &format!("p{n:03}"))).collect();
    let mut six = fleet.outcomes(Revision(6));
    assert_eq!(next(&mut six).await.len(), 1_000);
    let (mut told, mut answers) = (0, 0);
    let acknowledge = async {
        for proxy in &proxies {
            proxy.acknowledge(at(6), Vec::new());
            advance(Duration::from_millis(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let follow = async {
        while !six.is_settled() {
            told += next(&mut six).await.len();
            answers += 1;
        }
    };
    tokio::select! {
        () = acknowledge => {}
        () = follow => {}
    }
    assert_eq!(told, 1_000);
    assert!(answers <= 25, "{answers}");
}
