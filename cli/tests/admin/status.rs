//! `weir status`, `weir proxy get` and `weir backend list`.

use serde_json::{Value, json};
use tonic::Status;
use weir_proto::v1;

use crate::fake::{Fake, Step};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_keys_for_programs_are_always_there_and_people_see_only_what_is_there() {
    let status = |_: v1::GetStatusRequest| {
        Ok(v1::GetStatusResponse { version: "1.2.3".into(), overdue_leases: 3, ..Default::default() })
    };
    let fake = Fake::default().on(status).listen().await;
    let (_, value) = fake.json(&["status"]).await;
    let expected = [
        "control_plane",
        "version",
        "started_at",
        "store",
        "epoch",
        "epoch_accepted",
        "revision",
        "digest",
        "listeners",
        "services",
        "backends",
        "routes",
        "live_leases",
        "overdue_leases",
        "self_preservation",
        "held_back_backends",
        "connected_proxies",
        "kept_out_proxies",
        "dns_address",
        "alarms",
    ];
    assert_eq!(keys(&value), expected);
    let text = fake.weir(&["status"]).await.stdout;
    assert!(text.contains("overdue leases     3\n") && text.contains("live leases        0\n"), "{text}");
    assert!(!text.contains("self preservation") && !text.contains("dns address"), "{text}");
}

#[tokio::test]
async fn a_past_revision_is_shown_with_who_made_it_and_why() {
    let outcome = |request: v1::RevisionStatusRequest| match request {
        v1::RevisionStatusRequest { revision: 7, once: true } => {
            Ok(vec![Step::Say(v1::RevisionStatusResponse {
                epoch: 1,
                revision: 7,
                proxies: vec![v1::ProxyOutcome {
                    proxy_id: "edge-1".into(),
                    outcome: v1::Outcome::Acknowledged as i32,
                    acknowledged_revision: 9,
                    connected: true,
                    ..Default::default()
                }],
                settled: true,
                info: Some(v1::RevisionInfo {
                    revision: 7,
                    time: Some(prost_types::Timestamp { seconds: 60, nanos: 0 }),
                    author: Some(v1::Caller { name: "bob@pc".into(), address: "10.0.0.1".into() }),
                    cause: v1::RevisionCause::Apply as i32,
                    message: "more room".into(),
                    changes: 2,
                    ..Default::default()
                }),
            })])
        }
        _ => Err(Status::out_of_range("revision 99 is not made yet; the current one is 9")),
    };
    let fake = Fake::default().on(outcome).listen().await;
    let ended = fake.weir(&["status", "7"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (
            Some(0),
            "revision 7: apply by bob@pc (10.0.0.1) at 1970-01-01T00:01:00.000Z: more room\n\n\
             PROXY   REVISION  OUTCOME       REASON\n\
             edge-1  9         acknowledged  -\n"
        )
    );
    let (_, value) = fake.json(&["status", "7"]).await;
    assert_eq!(keys(&value), ["epoch", "revision", "settled", "info", "proxies"]);
    let info = ["revision", "time", "author", "cause", "message", "changes", "objects", "rolled_back_to"];
    assert_eq!(keys(&value["info"]), info);
    assert_eq!(value["info"]["author"], json!({ "name": "bob@pc", "address": "10.0.0.1" }));
    let ended = fake.weir(&["status", "99"]).await;
    let text = "weir: revision 99 is not made yet; the current one is 9\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(7), text));
}

#[tokio::test]
async fn one_proxy_is_shown_with_each_of_its_refusals() {
    let proxies = |_: v1::ListProxiesRequest| {
        let refused = ["web", "api"].map(|name| v1::Refused {
            object: Some(v1::ObjectRef { kind: v1::ObjectKind::Listener as i32, name: name.into() }),
            field: String::new(),
            reason: "no such file".into(),
        });
        let proxy = v1::ProxyInfo {
            id: "edge-1".into(),
            zone: "b".into(),
            refused: refused.into(),
            ..Default::default()
        };
        Ok(v1::ListProxiesResponse { proxies: vec![proxy], ..Default::default() })
    };
    let fake = Fake::default().on(proxies).listen().await;
    let text = fake.weir(&["proxy", "get", "edge-1"]).await.stdout;
    assert!(text.contains("zone                b\n"), "{text}");
    let refusals = "refused, and not in force:\n  listener web: no such file\n  listener api: no such file\n";
    assert!(text.ends_with(refusals), "{text}");
    let ended = fake.weir(&["proxy", "get", "edge-2"]).await;
    assert_eq!(ended.code, Some(7));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_another_answer_than_one_without_a_backend() {
    let list = |_: v1::ListObjectsRequest| Ok(v1::ListObjectsResponse::default());
    let get = |request: v1::GetObjectRequest| match request.object {
        Some(object) if object.name == "web" => Ok(v1::ObjectInfo::default()),
        _ => Err(Status::not_found("there is no service nosuch; list what there is, or create it first")),
    };
    let fake = Fake::default().on(list).on(get).listen().await;
    let ended = fake.weir(&["backend", "list", "nosuch"]).await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(ended.stderr.starts_with("weir: there is no service nosuch;"), "{ended:?}");
    let ended = fake.weir(&["backend", "list", "web"]).await;
    let none = "service web has no backend; register one with `weir backend register web ADDRESS`\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), none));
    let ended = fake.weir(&["backend", "list"]).await;
    assert_eq!(ended.stdout, "no backend; register one with `weir backend register`\n");
}

#[tokio::test]
async fn leases_that_are_held_are_overdue_and_their_reason_is_told_once() {
    let list = |_: v1::ListObjectsRequest| {
        let backend = |id: &str| v1::ObjectInfo {
            resource: Some(v1::Resource {
                resource: Some(v1::resource::Resource::Backend(v1::Backend {
                    service: "web".into(),
                    id: id.into(),
                    lease_state: v1::LeaseState::Live as i32,
                    ..Default::default()
                })),
            }),
            overdue_since: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
            hold_reason: "the network is more likely broken than the backends".into(),
            ..Default::default()
        };
        Ok(v1::ListObjectsResponse { objects: vec![backend("a"), backend("b")], ..Default::default() })
    };
    let fake = Fake::default().on(list).listen().await;
    let text = fake.weir(&["backend", "list"]).await.stdout;
    let told = "\n\n2 leases are overdue and held: the network is more likely broken than the backends\n";
    assert!(text.ends_with(told) && text.matches("overdue 0s").count() == 2, "{text}");
    assert!(!text.contains("live") && text.lines().all(|line| line.len() <= 120), "{text}");
}

#[tokio::test]
async fn what_has_to_be_settled_stands_below_the_status_and_the_list_of_proxies() {
    let alarm = "edge-1: the store is behind; run `weir epoch accept`";
    let status = move |_: v1::GetStatusRequest| {
        let alarms = vec![alarm.to_owned()];
        Ok(v1::GetStatusResponse { kept_out_proxies: 1, alarms, ..Default::default() })
    };
    let proxies = |_: v1::ListProxiesRequest| {
        let kept_out = v1::KeptOutState {
            reason: v1::KeptOutReason::Ahead as i32,
            own_revision: 9,
            message: "the store is behind; run `weir epoch accept`".into(),
            ..Default::default()
        };
        let proxy = v1::ProxyInfo { id: "edge-1".into(), kept_out: Some(kept_out), ..Default::default() };
        Ok(v1::ListProxiesResponse { proxies: vec![proxy], epoch: 1, ..Default::default() })
    };
    let fake = Fake::default().on(status).on(proxies).listen().await;
    let text = fake.weir(&["status"]).await.stdout;
    assert!(text.contains("kept out proxies   1\n"), "{text}");
    assert!(text.ends_with(&format!("\n\nALARM  {alarm}\n")), "{text}");
    let (_, value) = fake.json(&["status"]).await;
    assert_eq!(value["alarms"], json!([alarm]));
    let text = fake.weir(&["proxy", "list"]).await.stdout;
    assert!(text.contains("ahead of the store") && text.ends_with(&format!("\n\n{alarm}\n")), "{text}");
    let (_, value) = fake.json(&["proxy", "list"]).await;
    assert_eq!(value["proxies"][0]["kept_out"]["own_revision"], json!(9));
}

#[tokio::test]
async fn accepting_says_whether_a_new_epoch_began() {
    let status = |_: v1::GetStatusRequest| Ok(v1::GetStatusResponse { epoch: 7, ..Default::default() });
    let accept = |request: v1::AcceptEpochRequest| {
        let new_epoch = request.epoch == 7;
        Ok(v1::AcceptEpochResponse { revision: 5, epoch: if new_epoch { 8 } else { 9 }, new_epoch })
    };
    let fake = Fake::default().on(status).on(accept).listen().await;
    let text = fake.weir(&["epoch", "accept"]).await.stdout;
    assert!(
        text.starts_with("epoch 0000000000000008 began in revision 5, in place of 0000000000000007"),
        "{text}"
    );
    let text = fake.weir(&["epoch", "accept", "9"]).await.stdout;
    assert_eq!(text, "epoch 0000000000000009 accepted in revision 5\n");
}
