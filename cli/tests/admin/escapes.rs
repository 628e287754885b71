//! What others wrote is shown and not obeyed: no command reaches the terminal, no line is forged.

use tonic::{Code, Status};
use weir_proto::{is_hidden, v1};

use crate::fake::{Fake, Listening, Step};

/// A title of the window, a line of its own, C1, and a turn of the direction of writing.
const EVIL: &str = "x\x1b]0;pwned\x07\nforged line\r\u{9b}2J\u{202e}gpj\u{2028}forged\u{7f}";

fn evil() -> String {
    EVIL.to_owned()
}

fn object() -> v1::ObjectRef {
    v1::ObjectRef { kind: v1::ObjectKind::Service as i32, name: evil() }
}

fn refused() -> Vec<v1::Refused> {
    vec![v1::Refused { object: Some(object()), field: evil(), reason: evil() }]
}

fn caller() -> v1::Caller {
    v1::Caller { name: evil(), address: evil() }
}

fn resource() -> v1::Resource {
    let backend = v1::Backend {
        service: evil(),
        id: evil(),
        address: evil(),
        zone: evil(),
        metadata: [(evil(), evil())].into(),
        ..Default::default()
    };
    v1::Resource { resource: Some(v1::resource::Resource::Backend(backend)) }
}

fn condition() -> v1::ProxyCondition {
    let condition = v1::BackendCondition {
        backend: evil(),
        health: v1::HealthState::Unhealthy as i32,
        health_reason: evil(),
        ejection: v1::EjectionState::Ejected as i32,
        ejection_reason: evil(),
        ..Default::default()
    };
    v1::ProxyCondition { proxy_id: evil(), condition: Some(condition) }
}

fn info() -> v1::ObjectInfo {
    let owner = v1::Owner { kind: v1::OwnerKind::Agent as i32, name: evil() };
    v1::ObjectInfo {
        resource: Some(resource()),
        meta: Some(v1::ObjectMeta { owner: Some(owner), ..Default::default() }),
        hold_reason: evil(),
        conditions: vec![condition()],
        ..Default::default()
    }
}

fn revision() -> v1::RevisionInfo {
    v1::RevisionInfo {
        revision: 7,
        author: Some(caller()),
        message: evil(),
        objects: vec![object()],
        changes: 1,
        ..Default::default()
    }
}

fn changes() -> Vec<v1::Change> {
    let kind = v1::ChangeKind::Created as i32;
    vec![v1::Change { object: Some(object()), kind, before: None, after: Some(resource()) }]
}

fn proxy() -> v1::ProxyInfo {
    v1::ProxyInfo {
        id: "p".to_owned(),
        version: evil(),
        zone: evil(),
        advertised_address: evil(),
        peer_address: evil(),
        refused: refused(),
        ..Default::default()
    }
}

fn outcome() -> v1::RevisionStatusResponse {
    let proxy = v1::ProxyOutcome {
        proxy_id: evil(),
        outcome: v1::Outcome::Refused as i32,
        refused: refused(),
        refused_elsewhere: refused(),
        ..Default::default()
    };
    v1::RevisionStatusResponse {
        revision: 7,
        proxies: vec![proxy],
        settled: true,
        info: Some(revision()),
        ..Default::default()
    }
}

/// A control plane all of whose words are evil.
async fn hostile() -> Listening {
    Fake::default()
        .on(|_: v1::ListObjectsRequest| {
            Ok(v1::ListObjectsResponse { objects: vec![info()], ..Default::default() })
        })
        .on(|_: v1::GetObjectRequest| Ok(info()))
        .on(|_: v1::ListConditionsRequest| {
            Ok(v1::ListConditionsResponse {
                conditions: vec![condition()],
                silent: vec![evil()],
                ..Default::default()
            })
        })
        .on(|_: v1::HistoryRequest| {
            Ok(v1::HistoryResponse { revisions: vec![revision()], ..Default::default() })
        })
        .on(|_: v1::ListAuditRequest| {
            let record = v1::AuditRecord {
                caller: Some(caller()),
                call: evil(),
                objects: vec![object()],
                message: evil(),
                code: 9,
                reason: evil(),
                ..Default::default()
            };
            Ok(v1::ListAuditResponse { records: vec![record], ..Default::default() })
        })
        .on(|_: v1::WatchEventsRequest| {
            let event =
                v1::Event { object: Some(object()), proxy_id: evil(), message: evil(), ..Default::default() };
            Ok(vec![Step::Say(event)])
        })
        .on(|_: v1::DiffRequest| Ok(v1::DiffResponse { from: 1, to: 2, changes: changes() }))
        .on(|_: v1::ApplyRequest| {
            Ok(v1::ApplyResponse { revision: 7, changes: changes(), warnings: vec![evil()] })
        })
        .on(|_: v1::RollbackRequest| {
            Ok(v1::RollbackResponse { revision: 7, changes: changes(), warnings: vec![evil()] })
        })
        .on(|_: v1::ListProxiesRequest| {
            Ok(v1::ListProxiesResponse { proxies: vec![proxy()], ..Default::default() })
        })
        .on(|_: v1::RevisionStatusRequest| Ok(vec![Step::Say(outcome())]))
        .on(|_: v1::GetStatusRequest| {
            Ok(v1::GetStatusResponse { version: evil(), store: evil(), ..Default::default() })
        })
        .on(|_: v1::ExplainRequest| {
            let candidate = v1::Candidate {
                condition: condition().condition,
                why: evil(),
                zone: evil(),
                ..Default::default()
            };
            let explanation = v1::Explanation {
                outcome: evil(),
                sentence: evil(),
                route: evil(),
                service: evil(),
                candidates: vec![candidate],
                limits: vec![v1::LimitUse { setting: evil(), ..Default::default() }],
                ..Default::default()
            };
            Ok(v1::ExplainResponse { proxy_id: evil(), explanation: Some(explanation) })
        })
        .on(|_: v1::DeregisterRequest| {
            Ok(v1::DeregisterResponse {
                existed: true,
                in_flight: 1,
                unacknowledged_proxies: vec![evil()],
                ..Default::default()
            })
        })
        .on(|_: v1::DrainRequest| {
            let progress = v1::DrainProgress { waiting_for: vec![evil()], ..Default::default() };
            Ok(vec![Step::Say(progress), Step::Fail(Status::deadline_exceeded(EVIL))])
        })
        .listen()
        .await
}

/// What a program prints is only lines, and none that somebody else began.
fn harmless(what: &str, text: &str) {
    let obeyed = text.chars().find(|c| *c != '\n' && is_hidden(*c));
    assert_eq!(obeyed, None, "{what}: {text:?}");
    let forged = text.lines().find(|line| line.trim_start().starts_with("forged"));
    assert_eq!(forged, None, "{what}: {text:?}");
}

#[tokio::test]
async fn what_a_control_plane_and_its_proxies_say_is_shown_and_not_obeyed() {
    let fake = hostile().await;
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    let file = file.path().to_str().expect("a path of text");
    let verbs: [&[&str]; 17] = [
        &["backend", "list"],
        &["backend", "get", "web/a"],
        &["backend", "deregister", "web/a"],
        &["service", "get", "web"],
        &["route", "list"],
        &["history"],
        &["audit"],
        &["events"],
        &["diff", "1"],
        &["diff", "-f", file],
        &["apply", "-f", file, "--wait"],
        &["rollback", "1"],
        &["proxy", "list"],
        &["proxy", "get", "p"],
        &["status", "7"],
        &["status"],
        &["explain", "GET", "web/"],
    ];
    for verb in verbs {
        for format in ["table", "json", "yaml"] {
            let ended = fake.weir(&[verb, &["-o", format, "--color", "never"]].concat()).await;
            let what = format!("{verb:?} {format}");
            harmless(&what, &ended.stderr);
            match format {
                // Programs get what was said, character by character.
                "json" => {
                    harmless(&what, &ended.stdout);
                    let value: serde_json::Value =
                        ended.stdout.parse().unwrap_or_else(|e| panic!("{what}: {e}: {ended:?}"));
                    assert!(holds(&value), "{what}: {value}");
                }
                _ => harmless(&what, &ended.stdout),
            }
            if format == "table" {
                let text = ended.stdout + &ended.stderr;
                assert!(text.contains("x\\x1b]0;pwned\\x07\\n"), "{what}: {text:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_errors_say_is_shown_and_not_obeyed() {
    for code in (1..=16).map(Code::from_i32) {
        let fail =
            move |_: v1::ListObjectsRequest| Err::<v1::ListObjectsResponse, _>(Status::new(code, EVIL));
        let fake = Fake::default().on(fail).listen().await;
        let ended = fake.weir(&["backend", "list"]).await;
        assert_eq!(ended.stderr.lines().count(), 1, "{code:?}: {ended:?}");
        assert!(ended.stderr.contains("pwned\\x07\\nforged line"), "{code:?}: {ended:?}");
        harmless("an error", &ended.stderr);
    }
    let fake = hostile().await;
    let ended = fake.weir(&["drain", "web/a", "--wait"]).await;
    harmless("progress", &ended.stderr);
    assert!(ended.stderr.contains("waiting for x\\x1b]0;pwned"), "{ended:?}");
}

#[tokio::test]
async fn what_stands_in_arguments_and_files_is_shown_and_not_obeyed() {
    let fake = Fake::default().listen().await;
    for args in [
        &["backend", "get", EVIL],
        &["status", EVIL, ""],
        &["proxy", EVIL, ""],
        &["--control-plane", EVIL, "status"],
    ] {
        let ended = fake.weir(args).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        harmless("an argument", &ended.stderr);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("\x1b[2J.yaml");
    std::fs::write(&path, "services: [{\"a\u{9b}\": b, name: web}]\n").expect("written");
    let ended = fake.weir(&["validate", "-f", path.to_str().expect("a path of text")]).await;
    assert_eq!(ended.code, Some(6));
    harmless("a file", &ended.stderr);
}

/// Whether a value has the evil text somewhere, as it was.
fn holds(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains(EVIL),
        serde_json::Value::Array(values) => values.iter().any(holds),
        serde_json::Value::Object(fields) => fields.iter().any(|(key, value)| key == EVIL || holds(value)),
        _ => false,
    }
}
