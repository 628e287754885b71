//! What was done, by whom, and what came of it.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tonic::Code;
use weir_proto::v1;

use super::{State, Table, reference, timestamp, word};

/// Objects of a revision or of a record that a table names.
const MOST_NAMED: usize = 1;

/// A revision, for programs.
pub(crate) fn revision(info: &v1::RevisionInfo) -> Value {
    json!({
        "revision": info.revision,
        "time": timestamp(info.time.as_ref()),
        "author": info.author.as_ref().map(caller),
        "cause": word(info.cause().as_str_name(), "REVISION_CAUSE_"),
        "message": info.message,
        "changes": info.changes,
        "objects": references(&info.objects),
        "rolled_back_to": (info.rolled_back_to > 0).then_some(info.rolled_back_to),
    })
}

/// Revisions, for people.
pub(crate) fn revisions(infos: &[v1::RevisionInfo], empty: &str) -> Table {
    let columns = ["REVISION", "TIME", "AUTHOR", "CAUSE", "CHANGED", "MESSAGE"];
    let mut table = Table::new(&columns, empty);
    for info in infos {
        table.row([
            State::plain(info.revision),
            State::plain(second(info.time.as_ref())),
            State::plain(name(info.author.as_ref())),
            State::plain(cause(info)),
            State::plain(named(&info.objects, info.changes as usize)),
            State::plain(one_line(&info.message)),
        ]);
    }
    table
}

/// A revision in a line: `apply by alice@laptop at 2026-11-20T10:00:00.000Z: message`.
pub(crate) fn revision_line(info: &v1::RevisionInfo) -> String {
    let mut line = cause(info);
    let author = author(info.author.as_ref());
    if !author.is_empty() {
        line.push_str(" by ");
        line.push_str(&author);
    }
    if let Some(time) = timestamp(info.time.as_ref()) {
        line.push_str(" at ");
        line.push_str(&time);
    }
    if !info.message.is_empty() {
        line.push_str(": ");
        line.push_str(&one_line(&info.message));
    }
    line
}

/// A record of the audit log, for programs.
pub(crate) fn record(record: &v1::AuditRecord) -> Value {
    json!({
        "sequence": record.sequence,
        "time": timestamp(record.time.as_ref()),
        "caller": record.caller.as_ref().map(caller),
        "call": record.call,
        "objects": references(&record.objects),
        "message": record.message,
        "code": code(record.code),
        "reason": record.reason,
        "revision": (record.revision > 0).then_some(record.revision),
    })
}

/// Records of the audit log, for people.
pub(crate) fn records(records: &[v1::AuditRecord]) -> Table {
    let columns = ["NUMBER", "TIME", "CALLER", "CALL", "OBJECTS", "OUTCOME", "MESSAGE"];
    let mut table = Table::new(&columns, "no change was made or refused yet");
    for record in records {
        let outcome = if record.code == 0 {
            // What is no change of the configuration makes none.
            State::Good.cell(match record.revision {
                0 => "done".to_owned(),
                revision => format!("r{revision}"),
            })
        } else {
            State::Bad.cell(format!("{}: {}", code(record.code), one_line(&record.reason)))
        };
        table.row([
            State::plain(record.sequence),
            State::plain(second(record.time.as_ref())),
            State::plain(author(record.caller.as_ref())),
            State::plain(&record.call),
            State::plain(named(&record.objects, record.objects.len())),
            outcome,
            State::plain(one_line(&record.message)),
        ]);
    }
    table
}

/// Who, in a word: the audit log tells from where.
fn name(caller: Option<&v1::Caller>) -> String {
    match caller {
        Some(v1::Caller { name, .. }) if !name.is_empty() => name.clone(),
        caller => author(caller),
    }
}

/// Who, in a word or two; nobody for what the control plane does by itself.
fn author(caller: Option<&v1::Caller>) -> String {
    let Some(v1::Caller { name, address }) = caller else { return String::new() };
    // The port says nothing any more once the call is over.
    let host = address.parse().map_or_else(|_| address.clone(), |a: SocketAddr| a.ip().to_string());
    match (name.as_str(), host.as_str()) {
        (name, "") => name.to_owned(),
        ("", host) => host.to_owned(),
        (name, host) => format!("{name} ({host})"),
    }
}

/// A table has no room for parts of a second.
fn second(time: Option<&prost_types::Timestamp>) -> String {
    timestamp(time.map(|t| prost_types::Timestamp { nanos: 0, ..*t }).as_ref())
        .unwrap_or_default()
        .replace(".000", "")
}

fn caller(caller: &v1::Caller) -> Value {
    json!({ "name": caller.name, "address": caller.address })
}

fn cause(info: &v1::RevisionInfo) -> String {
    let word = word(info.cause().as_str_name(), "REVISION_CAUSE_").replace('_', " ");
    if info.rolled_back_to > 0 { format!("{word} to {}", info.rolled_back_to) } else { word }
}

/// The first objects, and how many more of `all` there are.
fn named(objects: &[v1::ObjectRef], all: usize) -> String {
    let shown: Vec<_> = objects.iter().take(MOST_NAMED).map(reference).collect();
    match all.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more if shown.is_empty() => format!("{more} objects"),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn references(objects: &[v1::ObjectRef]) -> Vec<String> {
    objects.iter().map(reference).collect()
}

/// `not_found`; `ok` for what was done.
fn code(code: i32) -> String {
    let name = format!("{:?}", Code::from_i32(code));
    let mut word = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// A table has lines of its own.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_enums_are() {
        assert_eq!([0, 9, 14].map(code), ["ok", "failed_precondition", "unavailable"]);
    }

    #[test]
    fn many_objects_are_a_few_and_a_number() {
        let service = |name: &str| v1::ObjectRef { kind: v1::ObjectKind::Service as i32, name: name.into() };
        let all: Vec<_> = ["a", "b", "c", "d"].map(service).into();
        assert_eq!(named(&all[..1], 1), "service a");
        assert_eq!(named(&all, 9), "service a and 8 more");
        assert_eq!(named(&[], 2), "2 objects");
    }

    #[test]
    fn a_caller_is_told_without_what_its_connection_was() {
        let of = |name: &str, address: &str| {
            author(Some(&v1::Caller { name: name.to_owned(), address: address.to_owned() }))
        };
        assert_eq!(of("alice@laptop", "127.0.0.1:41442"), "alice@laptop (127.0.0.1)");
        assert_eq!(
            (of("", "[::1]:80"), of("bob", ""), of("", "")),
            ("::1".into(), "bob".into(), String::new())
        );
    }

    #[test]
    fn usual_revisions_and_records_fit_into_120_columns() {
        let caller = Some(v1::Caller { name: "alice@laptop".into(), address: "10.20.30.40:51234".into() });
        let time = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 123_456_789 });
        let backend =
            v1::ObjectRef { kind: v1::ObjectKind::Backend as i32, name: "checkout/10.20.30.40:8080".into() };
        let info = v1::RevisionInfo {
            revision: 12_345,
            author: caller.clone(),
            time,
            cause: v1::RevisionCause::Apply as i32,
            objects: vec![backend.clone(); 3],
            changes: 3,
            message: "add a zone".into(),
            ..Default::default()
        };
        let record = v1::AuditRecord {
            sequence: 123_456,
            caller,
            time,
            call: "Apply".into(),
            objects: vec![backend],
            revision: 12_345,
            ..Default::default()
        };
        for table in [revisions(&[info], ""), super::records(&[record])] {
            let text = table.render(false).to_string();
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        }
    }

    #[test]
    fn a_revision_says_who_made_it_and_why() {
        let info = v1::RevisionInfo {
            cause: v1::RevisionCause::Rollback as i32,
            rolled_back_to: 4,
            author: Some(v1::Caller { name: "alice@laptop".into(), address: "10.0.0.1".into() }),
            message: "the new\nshop is slow".into(),
            ..Default::default()
        };
        let line = "rollback to 4 by alice@laptop (10.0.0.1): the new shop is slow";
        assert_eq!(revision_line(&info), line);
        let lease = v1::RevisionInfo { cause: v1::RevisionCause::Lease as i32, ..Default::default() };
        assert_eq!(revision_line(&lease), "lease");
    }
}
