//! Questions over the stream: answered beside states, in whatever state the proxy is.

use weir_proto::v1::{answer::Answer as Content, question::Question as Wanted};

use super::*;
use crate::endpoint::{Health, Marks};

fn conditions(id: u64) -> Down {
    let question = Some(Wanted::Conditions(v1::ConditionsQuestion::default()));
    Down::Question(v1::Question { id, question })
}

fn explain(id: u64) -> Down {
    let wanted = v1::ExplainQuestion { host: "shop.example".into(), ..Default::default() };
    Down::Question(v1::Question { id, question: Some(Wanted::Explain(wanted)) })
}

/// The answer to the question with this id; an acknowledgement may come before it.
async fn answer(peer: &mut Peer, id: u64) -> Option<Content> {
    loop {
        match peer.answer().await {
            Some(Up::Answer(answer)) if answer.id == id => return answer.answer,
            Some(Up::Ack(_)) => {}
            other => panic!("an Answer to {id} is due, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn questions_are_answered_by_the_table_in_force() {
    let mut plane = ControlPlane::start().await;
    let _proxy = Proxy::start(vec![plane.uri()]);
    let (mut peer, _) = plane.accept().await;
    peer.send(explain(1)).await;
    let Some(Content::Explanation(before)) = answer(&mut peer, 1).await else { panic!("not an explanation") };
    assert_eq!((before.outcome.as_str(), before.revision), ("nothing_configured", 0));

    let first = state(1, 1, &web(3));
    // The second question waits behind the state that comes before it.
    peer.snapshot(&first, 2, false).await;
    peer.send(explain(2)).await;
    peer.send(conditions(3)).await;
    let Some(Content::Explanation(after)) = answer(&mut peer, 2).await else { panic!("not an explanation") };
    assert_eq!((after.outcome.as_str(), after.revision, after.candidates.len()), ("ok", 1, 2));
    let Some(Content::Conditions(list)) = answer(&mut peer, 3).await else { panic!("no conditions") };
    assert_eq!((list.conditions.len(), list.omitted), (2, 0));
}

#[tokio::test]
async fn a_question_of_a_newer_version_is_answered_with_nothing() {
    let (_plane, mut peer, _proxy, _) = started(&web(2)).await;
    peer.send(Down::Question(v1::Question { id: 5, question: None })).await;
    assert_eq!(answer(&mut peer, 5).await, None);
}

#[tokio::test]
async fn a_report_names_the_backends_in_trouble() {
    let (_plane, mut peer, proxy, first) = started(&web(3)).await;
    let endpoint = {
        let table = proxy.table.load_full().unwrap();
        Arc::clone(&table.services["web"].members["10.0.0.2:80"].endpoint)
    };
    endpoint.health().health = Health::Unhealthy;
    endpoint.mark(Marks::HEALTH, Marks::UNHEALTHY);
    // Anything that makes a report due: a new state does.
    let second = state(1, 2, &web(4));
    peer.delta(&first, &second).await;
    let report = peer.report(|report| report.revision == 2).await;
    let named: Vec<_> = report.conditions.iter().map(|c| (c.backend.as_str(), c.health())).collect();
    assert_eq!(named, [("web/10.0.0.2:80", v1::HealthState::Unhealthy)]);
}
