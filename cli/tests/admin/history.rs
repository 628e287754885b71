//! What was, who did it, the way back, and copies of it all.

use serde_json::json;
use tonic::Status;
use weir_proto::v1::{self, ChangeKind, EventType};

use crate::fake::{Fake, Step};

fn object(kind: v1::ObjectKind, name: &str) -> v1::ObjectRef {
    v1::ObjectRef { kind: kind as i32, name: name.into() }
}

fn service(name: &str) -> v1::ObjectRef {
    object(v1::ObjectKind::Service, name)
}

const TIME: Option<prost_types::Timestamp> = Some(prost_types::Timestamp { seconds: 60, nanos: 0 });

fn revision(revision: u64) -> v1::RevisionInfo {
    v1::RevisionInfo {
        revision,
        time: TIME,
        author: Some(v1::Caller { name: "bob@pc".into(), address: String::new() }),
        cause: v1::RevisionCause::Apply as i32,
        message: "more room".into(),
        changes: 1,
        objects: vec![service("web")],
        rolled_back_to: 0,
        digest: None,
    }
}

fn retried(kind: ChangeKind, retries: &[u32]) -> v1::Change {
    let form = |n: &u32| {
        let retry_policy = Some(v1::RetryPolicy { num_retries: Some(*n), ..Default::default() });
        let service = v1::Service { name: "web".into(), retry_policy, ..Default::default() };
        v1::Resource { resource: Some(v1::resource::Resource::Service(service)) }
    };
    v1::Change {
        kind: kind as i32,
        object: Some(service("web")),
        before: retries.first().map(form),
        after: retries.get(1).map(form),
    }
}

#[tokio::test]
async fn the_history_is_read_page_by_page_up_to_the_limit() {
    let pages = |request: v1::HistoryRequest| match (request.page_size, request.page_token.as_str()) {
        (3, "") => Ok(v1::HistoryResponse {
            revisions: vec![revision(9), revision(8)],
            next_page_token: "8".into(),
            floor: 2,
        }),
        (1, "8") if request.automatic && request.object == Some(service("web")) => {
            Ok(v1::HistoryResponse { revisions: vec![revision(5)], next_page_token: "5".into(), floor: 2 })
        }
        _ => Err(Status::internal(format!("{request:?}"))),
    };
    let fake = Fake::default().on(pages).listen().await;
    let ended = fake.weir(&["history", "--limit", "3", "--all", "service/web"]).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (
            Some(0),
            "REVISION  TIME                  AUTHOR  CAUSE  CHANGED      MESSAGE\n\
             9         1970-01-01T00:01:00Z  bob@pc  apply  service web  more room\n\
             8         1970-01-01T00:01:00Z  bob@pc  apply  service web  more room\n\
             5         1970-01-01T00:01:00Z  bob@pc  apply  service web  more room\n\n\
             `weir diff` and `weir rollback` reach back to revision 2\n"
        ),
        "{ended:?}"
    );
}

#[tokio::test]
async fn two_revisions_are_compared() {
    let diff = |request: v1::DiffRequest| match (request.from, request.to) {
        (3, 9) => {
            Ok(v1::DiffResponse { from: 3, to: 9, changes: vec![retried(ChangeKind::Updated, &[1, 2])] })
        }
        (9, 0) => Ok(v1::DiffResponse { from: 9, to: 10, changes: Vec::new() }),
        _ => Err(Status::out_of_range("revision 1 is forgotten; the oldest that is known is 2")),
    };
    let fake = Fake::default().on(diff).listen().await;
    let ended = fake.weir(&["diff", "3", "9"]).await;
    let text = "~ service web\n    retry_policy.num_retries: 1 -> 2\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(9), text), "{ended:?}");
    let ended = fake.weir(&["diff", "9"]).await;
    let text = "no difference between the revisions 9 and 10\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), text));
    assert_eq!(fake.weir(&["diff", "1"]).await.code, Some(7));
    assert_eq!(fake.weir(&["diff", "1", "2", "3"]).await.code, Some(2));
    assert_eq!(fake.weir(&["diff", "1", "-f", "a.yaml"]).await.code, Some(2));
    assert_eq!(fake.weir(&["diff"]).await.code, Some(2));
}

#[tokio::test]
async fn a_rollback_says_what_it_changes_and_what_could_not_be() {
    let rollback = |request: v1::RollbackRequest| {
        let expected = v1::RollbackRequest {
            revision: 3,
            dry_run: request.dry_run,
            if_revision: Some(9),
            message: "slow".into(),
        };
        assert_eq!(request, expected);
        Ok(v1::RollbackResponse {
            revision: if request.dry_run { 9 } else { 10 },
            changes: vec![retried(ChangeKind::Updated, &[2, 1])],
            warnings: vec!["backend web/a has a lease now; it was left alone".into()],
        })
    };
    let fake = Fake::default().on(rollback).listen().await;
    let args = ["rollback", "3", "--if-revision", "9", "-m", "slow"];
    let ended = fake.weir(&args).await;
    let text =
        "changed service web (retry_policy.num_retries: 2 -> 1)\nrevision 10: 1 changed, 0 unchanged\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), text));
    assert_eq!(ended.stderr, "weir: warning: backend web/a has a lease now; it was left alone\n");
    let (_, value) = fake.json(&[&args[..], &["--dry-run"]].concat()).await;
    assert_eq!((&value["revision"], &value["dry_run"]), (&json!(9), &json!(true)));
}

#[tokio::test]
async fn the_audit_log_shows_what_was_refused_too() {
    let records = |request: v1::ListAuditRequest| {
        assert_eq!(request.page_size, 50);
        let made = v1::AuditRecord {
            sequence: 2,
            time: TIME,
            caller: Some(v1::Caller { name: "bob@pc".into(), address: "10.0.0.1".into() }),
            call: "Apply".into(),
            objects: vec![service("web")],
            revision: 9,
            ..Default::default()
        };
        let refused =
            v1::AuditRecord { sequence: 1, code: 9, reason: "not now".into(), revision: 0, ..made.clone() };
        Ok(v1::ListAuditResponse { records: vec![made, refused], next_page_token: String::new() })
    };
    let fake = Fake::default().on(records).listen().await;
    let text = fake.weir(&["audit"]).await.stdout;
    assert!(text.contains("bob@pc (10.0.0.1)  Apply  service web  r9"), "{text}");
    assert!(text.contains("service web  failed_precondition: not now"), "{text}");
    let (_, value) = fake.json(&["audit"]).await;
    assert_eq!(value["records"][1]["code"], "failed_precondition");
    assert_eq!(
        (&value["records"][0]["code"], &value["records"][1]["revision"]),
        (&json!("ok"), &json!(null))
    );
}

#[tokio::test]
async fn events_are_filtered_and_end_unless_they_are_followed() {
    let events = |request: v1::WatchEventsRequest| {
        let event = |kind: EventType, name: &str| {
            Step::Say(v1::Event {
                r#type: kind as i32,
                object: Some(object(v1::ObjectKind::Backend, name)),
                message: format!("{name} did"),
                ..Default::default()
            })
        };
        let mut steps = vec![
            event(EventType::LeaseExpired, "web/a"),
            event(EventType::Drain, "web/a"),
            event(EventType::LeaseExpired, "web/b"),
        ];
        match request {
            v1::WatchEventsRequest { past: 100, since: None, once: true }
            | v1::WatchEventsRequest {
                past: 0,
                since: Some(prost_types::Timestamp { seconds: 60, .. }),
                once: true,
            } => {}
            v1::WatchEventsRequest { past: 5, once: false, .. } => {
                steps.push(Step::Fail(Status::unavailable("stopping")));
            }
            other => return Err(Status::internal(format!("{other:?}"))),
        }
        Ok(steps)
    };
    let fake = Fake::default().on(events).listen().await;
    let lines =
        |text: String| text.lines().map(|l| l.split_whitespace().last() == Some("did")).collect::<Vec<_>>();
    assert_eq!(lines(fake.weir(&["events"]).await.stdout), [true; 3]);
    let expired = fake.weir(&["events", "--type", "lease-expired", "--since", "1970-01-01T00:01:00Z"]).await;
    assert_eq!(lines(expired.stdout), [true; 2]);
    let ended = fake.weir(&["events", "backend/web/a", "--type", "lease_expired", "-o", "json"]).await;
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one line");
    assert_eq!((ended.code, &value["object"]), (Some(0), &json!("backend web/a")));
    for args in [&["events", "--follow", "--past", "5"][..], &["watch", "--past", "5"]] {
        let ended = fake.weir(args).await;
        assert_eq!((ended.code, lines(ended.stdout)), (Some(5), vec![true; 3]), "{args:?}");
    }
}

#[tokio::test]
async fn a_compaction_says_what_came_of_it() {
    let compact = |request: v1::CompactRequest| {
        assert_eq!(request.keep_revisions, Some(100));
        Ok(v1::CompactResponse { bytes_before: 5 << 20, bytes_after: 3 << 19, floor: 40 })
    };
    let fake = Fake::default().on(compact).listen().await;
    assert_eq!(
        fake.weir(&["compact", "--keep", "100"]).await.stdout,
        "the store had 5.0 MiB and has 1.5 MiB; `weir diff` and `weir rollback` reach back to revision 40\n"
    );
}

#[tokio::test]
async fn a_backup_takes_its_place_only_when_it_is_complete() {
    let chunk = |data: &str| Step::Say(v1::BackupChunk { data: data.as_bytes().to_vec().into() });
    let whole = move |_: v1::BackupRequest| Ok(vec![chunk("all "), chunk("of it")]);
    let cut =
        move |_: v1::BackupRequest| Ok(vec![chunk("half"), Step::Fail(Status::unavailable("stopping"))]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("weir.backup");
    let file = path.to_str().expect("a path of text");
    let fake = Fake::default().on(whole).listen().await;
    let ended = fake.weir(&["backup", file]).await;
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("wrote 9 bytes to {file}\n")));
    let to_stdout = fake.weir(&["backup", "-"]).await;
    assert_eq!(
        (to_stdout.stdout.as_str(), to_stdout.stderr.as_str()),
        ("all of it", "weir: wrote 9 bytes\n")
    );
    let again = fake.weir(&["backup", file]).await;
    let told = format!("weir: {file} exists already; name another file, or say --force\n");
    assert_eq!((again.code, again.stderr), (Some(8), told));
    let fake = Fake::default().on(cut).listen().await;
    assert_eq!(fake.weir(&["backup", "--force", file]).await.code, Some(5));
    assert_eq!(std::fs::read(&path).expect("a file"), b"all of it");
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
}
