//! `Admin`: what was, and how it comes back.

use std::process::{Command, Output};

use tonic::{Code, Request};
use weir_control_plane::Config;
use weir_proto::{
    CALLER,
    v1::{self, ChangeKind, ObjectKind, RevisionCause},
};

use crate::harness::{Server, config, leased, registration};

fn apply(weight: u32, message: &str) -> v1::ApplyRequest {
    let backend = v1::Backend {
        service: "web".to_owned(),
        address: "10.0.0.5:80".to_owned(),
        weight: Some(weight),
        ..Default::default()
    };
    let document = v1::Document { backends: vec![backend], ..Default::default() };
    v1::ApplyRequest { documents: vec![document], message: message.to_owned(), ..Default::default() }
}

fn from<T>(caller: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(CALLER, caller.parse().expect("ascii"));
    request
}

/// Three revisions of an operator and one of an agent.
async fn made(server: &Server) {
    let mut admin = server.admin().await;
    for weight in 1..=3 {
        let request = from("alice@laptop", apply(weight, &format!("weight {weight}")));
        admin.apply(request).await.expect("applied");
    }
    server.registry().await.register(leased("web", "10.0.0.9:80", "agent")).await.expect("registered");
}

#[tokio::test]
async fn the_history_comes_in_pages_and_names_authors() {
    let server = Server::start();
    made(&server).await;
    let mut admin = server.admin().await;
    let mut token = String::new();
    let mut found = Vec::new();
    loop {
        let request = v1::HistoryRequest { page_size: 2, page_token: token, ..Default::default() };
        let page = admin.history(request).await.expect("a page").into_inner();
        assert!((1..=2).contains(&page.revisions.len()));
        assert_eq!(page.floor, 0);
        found.extend(page.revisions);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found.iter().map(|info| info.revision).collect::<Vec<_>>(), [3, 2, 1]);
    let author = found[0].author.as_ref().expect("an author");
    assert_eq!((author.name.as_str(), found[0].message.as_str()), ("alice@laptop", "weight 3"));
    assert!(author.address.starts_with("127.0.0.1:"), "{author:?}");
    let automatic = v1::HistoryRequest { automatic: true, page_size: 1, ..Default::default() };
    let newest = admin.history(automatic).await.expect("a page").into_inner().revisions.remove(0);
    assert_eq!((newest.revision, newest.cause()), (4, RevisionCause::Register));
    for bad in [
        v1::HistoryRequest { page_token: "x".to_owned(), ..Default::default() },
        v1::HistoryRequest { page_size: 1_001, ..Default::default() },
    ] {
        assert_eq!(admin.history(bad).await.expect_err("bad").code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn differences_are_shown_and_taken_back() {
    let server = Server::start();
    made(&server).await;
    let mut admin = server.admin().await;
    let found = admin.diff(v1::DiffRequest { from: 1, to: 0 }).await.expect("known").into_inner();
    assert_eq!((found.from, found.to), (1, 4));
    let [change] = found.changes.as_slice() else { panic!("{found:?}") };
    assert_eq!(change.kind(), ChangeKind::Updated);
    let rollback = v1::RollbackRequest { revision: 1, message: "too heavy".to_owned(), ..Default::default() };
    let done = admin.rollback(from("bob@laptop", rollback)).await.expect("rolled back").into_inner();
    assert_eq!((done.revision, done.changes.len()), (5, 1));
    let same = admin.diff(v1::DiffRequest { from: 5, to: 1 }).await.expect("known").into_inner();
    assert_eq!(same.changes, []);
    for (from, to) in [(9, 0), (1, 9)] {
        let status = admin.diff(v1::DiffRequest { from, to }).await.expect_err("not made yet");
        assert_eq!(status.code(), Code::OutOfRange);
        assert!(status.message().contains("from 0 to 5"), "{status}");
    }
    let long = v1::RollbackRequest { message: "x".repeat(1_025), ..Default::default() };
    assert_eq!(admin.rollback(long).await.expect_err("too long").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn who_wanted_what_is_in_the_audit_log_whatever_came_of_it() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let mut registry = server.registry().await;
    let bad = registration("Web", "10.0.0.5:80");
    registry.register(from("mallory@x", bad)).await.expect_err("a bad name");
    let object = v1::ObjectRef { kind: ObjectKind::Route as i32, name: "gone".to_owned() };
    let delete = v1::DeleteObjectRequest { object: Some(object.clone()), ..Default::default() };
    admin.delete_object(from("bob@x", delete)).await.expect_err("there is none");
    let bad_dry_run = v1::ApplyRequest { file_set: "a b".to_owned(), dry_run: true, ..apply(1, "") };
    admin.apply(bad_dry_run).await.expect_err("changes nothing");
    admin.apply(from("alice@x", apply(1, "why"))).await.expect("applied");

    let page = admin.list_audit(v1::ListAuditRequest::default()).await.expect("a page").into_inner();
    let told: Vec<_> = page
        .records
        .iter()
        .map(|r| {
            (r.sequence, r.call.as_str(), r.code, r.revision, r.caller.as_ref().expect("one").name.as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, "Apply", 0, 1, "alice@x"),
            (2, "DeleteObject", Code::NotFound as i32, 0, "bob@x"),
            (1, "Register", Code::InvalidArgument as i32, 0, "mallory@x"),
        ]
    );
    assert_eq!(page.records[1].objects, [object]);
    assert!(page.records[2].reason.contains("backend.service"), "{}", page.records[2].reason);
    let request = v1::ListAuditRequest { page_size: 1, page_token: "2".to_owned() };
    let page = admin.list_audit(request).await.expect("a page").into_inner();
    assert_eq!((page.records[0].sequence, page.next_page_token.as_str()), (1, ""));
}

/// The program itself.
fn restore(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_weir-control-plane");
    Command::new(program).arg("restore").args(args).env_remove("WEIR_DATA_DIR").output().expect("runs")
}

#[tokio::test]
async fn a_backup_is_restored_by_the_program_and_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let on = |name| Config { store: None, data_dir: Some(at(name)), ..config() };
    let server = Server::with(on("one"));
    made(&server).await;
    let mut admin = server.admin().await;
    let mut file = Vec::new();
    let mut chunks = admin.backup(v1::BackupRequest {}).await.expect("a stream").into_inner();
    while let Some(chunk) = chunks.message().await.expect("whole") {
        assert!(chunk.data.len() <= 256 << 10);
        file.extend_from_slice(&chunk.data);
    }
    std::fs::write(at("backup"), &file).expect("written");
    let compact = v1::CompactRequest { keep_revisions: Some(1) };
    let compacted = admin.compact(compact).await.expect("compacted").into_inner();
    assert_eq!(compacted.floor, 2);
    assert!(compacted.bytes_after > 0 && compacted.bytes_after <= compacted.bytes_before, "{compacted:?}");

    let (file, one, two) = (at("backup"), at("one"), at("two"));
    let [file, one, two] = [&file, &one, &two].map(|path| path.to_str().expect("utf-8"));
    let in_use = restore(&[file, "--data-dir", one, "--force"]);
    assert_eq!(in_use.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&in_use.stderr).contains("in use by another control plane"));
    let exists = restore(&[file, "--data-dir", one]);
    assert!(String::from_utf8_lossy(&exists.stderr).contains("give --force"));
    let before = server.status().await;
    let done = restore(&[file, "--data-dir", two]);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && told.starts_with("restored revision 4 of epoch"), "{done:?}");

    let server = Server::with(on("two"));
    let after = server.status().await;
    assert_eq!((after.revision, after.digest), (5, before.digest));
    assert_ne!(after.epoch, before.epoch);
    assert!(!after.epoch_accepted);
    let found = server.admin().await.diff(v1::DiffRequest { from: 1, to: 3 }).await.expect("known");
    assert_eq!(found.into_inner().changes.len(), 1);
}
