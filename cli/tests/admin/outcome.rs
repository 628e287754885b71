//! `--wait`: what becomes of a revision on the proxies, and how the program ends with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tonic::Status;
use weir_proto::v1::{self, Outcome};

use crate::fake::{Fake, Listening, Step};

const ENABLE: [&str; 4] = ["backend", "enable", "web/a", "--wait"];

/// Enables in revision 7; what becomes of it is told in these steps, of a later stream in the last of them.
async fn enabling(streams: Vec<Vec<Step<v1::RevisionStatusResponse>>>) -> Listening {
    let asked = AtomicUsize::new(0);
    let enable =
        |_: v1::SetOperatorStateRequest| Ok(v1::SetOperatorStateResponse { revision: 7, backend: None });
    let outcome = move |request: v1::RevisionStatusRequest| {
        assert_eq!((request.revision, request.once), (7, false));
        let n = asked.fetch_add(1, Ordering::SeqCst);
        Ok(streams[n.min(streams.len() - 1)].clone())
    };
    Fake::default().on(enable).on(outcome).listen().await
}

fn answer(proxies: Vec<v1::ProxyOutcome>) -> Step<v1::RevisionStatusResponse> {
    let settled = proxies.iter().all(|p| p.outcome() != Outcome::Pending);
    Step::Say(v1::RevisionStatusResponse { epoch: 1, revision: 7, proxies, settled, info: None })
}

fn proxy(id: &str, outcome: Outcome) -> v1::ProxyOutcome {
    let there = matches!(outcome, Outcome::Acknowledged | Outcome::Refused);
    v1::ProxyOutcome {
        proxy_id: id.into(),
        outcome: outcome as i32,
        acknowledged_revision: if there { 7 } else { 0 },
        connected: outcome != Outcome::Away,
        ..Default::default()
    }
}

fn in_use(listener: &str) -> v1::Refused {
    v1::Refused {
        object: Some(v1::ObjectRef { kind: v1::ObjectKind::Listener as i32, name: listener.into() }),
        field: "address".into(),
        reason: "127.0.0.1:80 is in use".into(),
    }
}

fn refusing(id: &str, listeners: &[&str]) -> v1::ProxyOutcome {
    let refused = listeners.iter().copied().map(in_use).collect();
    v1::ProxyOutcome { refused, ..proxy(id, Outcome::Refused) }
}

#[tokio::test]
async fn it_ends_well_when_every_live_proxy_has_acknowledged() {
    let all =
        vec![proxy("a", Outcome::Pending), proxy("b", Outcome::Acknowledged), proxy("c", Outcome::Away)];
    let last = answer(vec![proxy("a", Outcome::Acknowledged)]);
    let fake = enabling(vec![vec![answer(all), last]]).await;
    let ended = fake.weir(&ENABLE).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        ended.stdout,
        "web/a is enabled, as of revision 7\n\
         PROXY  REVISION  OUTCOME       REASON\n\
         a      7         acknowledged  -\n\
         b      7         acknowledged  -\n\
         c      -         away          -\n"
    );
}

#[tokio::test]
async fn a_refusal_wins_over_those_who_are_late_and_both_are_named() {
    let proxies = vec![refusing("b", &["web", "api"]), proxy("c", Outcome::Pending)];
    let fake = enabling(vec![vec![answer(proxies), Step::Hang]]).await;
    let ended = fake.weir(&[&ENABLE[..], &["--timeout", "2s"]].concat()).await;
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stdout.contains("b      7         refused  listener api: address: 127.0.0.1:80 is in use\n")
    );
    assert_eq!(
        ended.stderr,
        "weir: proxy b cannot realise listener web: address: 127.0.0.1:80 is in use; this form of it is not in force there; after 2s revision 7 is not acknowledged by c\n"
    );
}

#[tokio::test]
async fn who_keeps_it_out_is_named_at_once_with_the_reason_and_what_settles_it() {
    let kept_out = |id| v1::ProxyOutcome {
        kept_out: "the store is behind; run `weir epoch accept`".into(),
        ..proxy(id, Outcome::KeptOut)
    };
    let proxies = vec![kept_out("a"), proxy("b", Outcome::Acknowledged), kept_out("c")];
    let fake = enabling(vec![vec![answer(proxies)]]).await;
    let ended = fake.weir(&ENABLE).await;
    let text = "weir: revision 7 is not served by a, c: the store is behind; run `weir epoch accept`\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), text));
    assert!(
        ended
            .stdout
            .contains("a      -         kept_out      the store is behind; run `weir epoch accept`\n"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn who_is_late_is_named_and_told_where_to_look() {
    let proxies = vec![proxy("a", Outcome::Acknowledged), proxy("b", Outcome::Pending)];
    let fake = enabling(vec![vec![answer(proxies), Step::Hang]]).await;
    let ended = fake.weir(&[&ENABLE[..], &["--timeout", "2s"]].concat()).await;
    let text = "weir: after 2s revision 7 is not acknowledged by b; it is applied, see `weir status 7`\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(4), text));
}

#[tokio::test]
async fn what_is_refused_of_other_revisions_is_a_note() {
    let elsewhere =
        v1::ProxyOutcome { refused_elsewhere: vec![in_use("old")], ..proxy("a", Outcome::Acknowledged) };
    let fake = enabling(vec![vec![answer(vec![elsewhere])]]).await;
    let ended = fake.weir(&ENABLE).await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.stderr,
        "weir: proxy a cannot realise what another revision changed: listener old: address: 127.0.0.1:80 is \
         in use\n"
    );
}

#[tokio::test]
async fn without_a_live_proxy_it_says_so_and_ends_well() {
    for proxies in [vec![], vec![proxy("a", Outcome::Away)]] {
        let fake = enabling(vec![vec![answer(proxies)]]).await;
        let ended = fake.weir(&ENABLE).await;
        let text = "weir: no proxy is connected, so nothing was waited for; one that comes gets revision 7 at once\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), text));
    }
}

#[tokio::test]
async fn it_asks_again_when_the_control_plane_goes_away_meanwhile() {
    let pending = answer(vec![proxy("a", Outcome::Pending), proxy("gone", Outcome::Pending)]);
    let fake = enabling(vec![
        vec![pending.clone(), Step::Fail(Status::unavailable("stopping"))],
        vec![pending],
        vec![answer(vec![proxy("a", Outcome::Acknowledged)])],
    ])
    .await;
    let ended = fake.weir(&ENABLE).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The first answer of a stream names all.
    assert!(!ended.stdout.contains("gone"), "{ended:?}");
}

#[tokio::test]
async fn a_revision_of_another_epoch_is_not_taken_for_it() {
    let pending = answer(vec![proxy("a", Outcome::Pending)]);
    let other =
        Step::Say(v1::RevisionStatusResponse { epoch: 2, revision: 7, settled: true, ..Default::default() });
    let fake = enabling(vec![vec![pending], vec![other]]).await;
    let ended = fake.weir(&ENABLE).await;
    assert_eq!(ended.code, Some(8), "{ended:?}");
    assert!(ended.stderr.contains("store was replaced"), "{ended:?}");
}

#[tokio::test]
async fn programs_get_the_proxies_beside_what_was_done() {
    let fake = enabling(vec![vec![answer(vec![refusing("b", &["web"])])]]).await;
    let (code, value) = fake.json(&ENABLE).await;
    assert_eq!(code, Some(3));
    let refused = json!([
        { "object": "listener web", "field": "address", "reason": "127.0.0.1:80 is in use" }
    ]);
    assert_eq!(
        value,
        json!({
            "backend": "web/a",
            "operator_state": "enabled",
            "revision": 7,
            "proxies": [{
                "id": "b",
                "outcome": "refused",
                "connected": true,
                "acknowledged_revision": 7,
                "acknowledged_at": null,
                "refused": refused,
                "refused_elsewhere": [],
                "kept_out": null,
            }],
        })
    );
}

#[tokio::test]
async fn every_change_can_wait() {
    let revision = 7;
    let settled = |_: v1::RevisionStatusRequest| Ok(vec![answer(vec![proxy("a", Outcome::Acknowledged)])]);
    let fake = Fake::default()
        .on(settled)
        .on(move |_: v1::RegisterRequest| {
            Ok(v1::RegisterResponse { revision, created: true, ..Default::default() })
        })
        .on(move |_: v1::DeregisterRequest| {
            Ok(v1::DeregisterResponse { revision, existed: true, ..Default::default() })
        })
        .on(move |_: v1::DeleteObjectRequest| Ok(v1::DeleteObjectResponse { revision }))
        .on(move |_: v1::RollbackRequest| Ok(v1::RollbackResponse { revision, ..Default::default() }))
        .on(move |_: v1::ApplyRequest| Ok(v1::ApplyResponse { revision, ..Default::default() }))
        .listen()
        .await;
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cmd/validate.in/good.yaml");
    for args in [
        &["backend", "register", "web", "10.0.0.1:80"][..],
        &["backend", "deregister", "web/a"],
        &["service", "delete", "web"],
        &["rollback", "3"],
        &["apply", "-f", good],
    ] {
        let ended = fake.weir(&[args, &["--wait"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        assert!(ended.stdout.ends_with("\na      7         acknowledged  -\n"), "{args:?}: {ended:?}");
    }
}
