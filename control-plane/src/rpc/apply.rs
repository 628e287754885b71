//! `Admin.Apply`: documents into declarations, each with the path that errors name.

use std::collections::BTreeSet;

use tonic::Status;
use weir_proto::{Invalid, Revision, v1};

use super::{Api, refused, registry::declared, status, visible};
use crate::{
    caller::Caller,
    registry::{Apply, Change, Declared, OwnAddresses},
    snapshot::Object,
};

/// The file set of those who name none.
const DEFAULT_FILE_SET: &str = "default";
/// Characters of a message.
const MOST_MESSAGE: usize = 1_024;
/// Bad fields that are named in one answer.
const MOST_REFUSALS: usize = 100;

impl Api {
    pub(super) async fn apply_documents(
        &self,
        caller: &Caller,
        request: v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, Status> {
        let dry_run = request.dry_run;
        // What was not to be changed needs no record.
        let refuse = |status| if dry_run { status } else { self.refuse(caller, "Apply", &[], status) };
        let apply = decode(request).map_err(|fields| refuse(refused(fields)))?;
        let apply = Apply { own_addresses: self.fleet.own_addresses(), ..apply };
        let applied = self.registry.apply(caller, apply).await.map_err(status)?;
        Ok(v1::ApplyResponse {
            revision: applied.revision.0,
            changes: applied.changes.iter().map(encode).collect(),
            warnings: applied.warnings,
        })
    }
}

/// Refuses a message that is too long.
pub(super) fn message(text: &str) -> Result<(), Invalid> {
    match text.chars().count() {
        n if n <= MOST_MESSAGE => Ok(()),
        n => {
            Err(Invalid::new("message", format_args!("must have at most {MOST_MESSAGE} characters, has {n}")))
        }
    }
}

/// As people get it.
pub(super) fn encode(change: &Change) -> v1::Change {
    v1::Change {
        kind: change.kind as i32,
        object: Some(change.key.wire()),
        before: change.before.as_ref().map(|entry| entry.object.resource()),
        after: change.after.as_ref().map(|entry| entry.object.resource()),
    }
}

fn decode(request: v1::ApplyRequest) -> Result<Apply, Vec<Invalid>> {
    let mut refusals = Vec::new();
    refusals.extend(visible("file_set", &request.file_set, 253).err());
    refusals.extend(message(&request.message).err());
    let file_set = if request.file_set.is_empty() { DEFAULT_FILE_SET.to_owned() } else { request.file_set };
    let mut all = Vec::new();
    let mut file_sets = BTreeSet::new();
    for (i, document) in request.documents.into_iter().enumerate() {
        let owner = owner(document.owner).map_err(|e| e.within(&format!("documents[{i}]")));
        let owner = owner.unwrap_or_else(|refusal| {
            refusals.push(refusal);
            None
        });
        match &owner {
            None => _ = file_sets.insert(file_set.clone()),
            Some(owner) if owner.kind() == v1::OwnerKind::FileSet => _ = file_sets.insert(owner.name.clone()),
            Some(_) => {}
        }
        let of = (i, owner.as_ref());
        collect(&mut all, of, "listeners", document.listeners, Object::listener);
        collect(&mut all, of, "services", document.services, Object::service);
        collect(&mut all, of, "backends", document.backends, |wire| declared(wire).map(Object::backend));
        collect(&mut all, of, "routes", document.routes, Object::route);
    }
    let mut declared = Vec::with_capacity(all.len());
    for result in all {
        match result {
            Ok(declaration) => declared.push(declaration),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        refusals.truncate(MOST_REFUSALS);
        return Err(refusals);
    }
    Ok(Apply {
        declared,
        file_set,
        file_sets,
        prune: request.prune,
        force: request.force,
        dry_run: request.dry_run,
        if_revision: request.if_revision.map(Revision),
        message: request.message,
        allow_empty: request.allow_empty,
        own_addresses: OwnAddresses::default(),
    })
}

/// The owner of what a document declares, if it says that itself.
fn owner(wire: Option<v1::document::Owner>) -> Result<Option<v1::Owner>, Invalid> {
    let (kind, field, name) = match wire {
        None => return Ok(None),
        Some(v1::document::Owner::FileSet(name)) if name.is_empty() => {
            return Err(Invalid::new("file_set", "must not be empty"));
        }
        Some(v1::document::Owner::FileSet(name)) => (v1::OwnerKind::FileSet, "file_set", name),
        Some(v1::document::Owner::Operator(name)) => (v1::OwnerKind::Operator, "operator", name),
    };
    visible(field, &name, 253)?;
    Ok(Some(v1::Owner { kind: kind as i32, name }))
}

fn collect<W>(
    all: &mut Vec<Result<Declared, Invalid>>,
    (document, owner): (usize, Option<&v1::Owner>),
    section: &str,
    wire: Vec<W>,
    decode: impl Fn(W) -> Result<Object, Invalid>,
) {
    all.extend(wire.into_iter().enumerate().map(|(i, wire)| {
        let path = format!("documents[{document}].{section}[{i}]");
        match decode(wire) {
            Ok(object) => Ok(Declared { path, object, owner: owner.cloned() }),
            Err(refusal) => Err(refusal.within(&path)),
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> v1::Service {
        v1::Service { name: name.to_owned(), ..Default::default() }
    }

    fn request(document: v1::Document) -> v1::ApplyRequest {
        v1::ApplyRequest { documents: vec![v1::Document::default(), document], ..Default::default() }
    }

    fn refusals(request: v1::ApplyRequest) -> Vec<String> {
        decode(request).expect_err("must be refused").into_iter().map(|e| e.field).collect()
    }

    #[test]
    fn every_bad_field_has_its_whole_path() {
        let mut slow = service("slow");
        let connect = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        slow.timeouts = Some(v1::Timeouts { connect, ..Default::default() });
        let document = v1::Document {
            services: vec![service("web"), service("Web"), slow],
            backends: vec![v1::Backend { operator_state: 2, ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(
            refusals(request(document)),
            [
                "documents[1].services[1].name",
                "documents[1].services[2].timeouts.connect",
                "documents[1].backends[0].operator_state",
            ]
        );
    }

    #[test]
    fn a_document_may_say_whose_it_is() {
        use v1::document::Owner::{FileSet, Operator};
        let of =
            |owner, name: &str| v1::Document { owner, services: vec![service(name)], ..Default::default() };
        let documents = vec![
            of(None, "a"),
            of(Some(FileSet("tls".into())), "b"),
            of(Some(Operator(String::new())), "c"),
            v1::Document { owner: Some(FileSet("gone".into())), ..Default::default() },
        ];
        let file_set = "shop".to_owned();
        let apply = decode(v1::ApplyRequest { documents, file_set, ..Default::default() }).expect("valid");
        assert_eq!(apply.file_sets.iter().collect::<Vec<_>>(), ["gone", "shop", "tls"]);
        let kinds: Vec<_> = apply.declared.iter().map(|d| d.owner.as_ref().map(v1::Owner::kind)).collect();
        assert_eq!(kinds, [None, Some(v1::OwnerKind::FileSet), Some(v1::OwnerKind::Operator)]);
        assert_eq!(refusals(request(of(Some(FileSet(String::new())), "a"))), ["documents[1].file_set"]);
        assert_eq!(refusals(request(of(Some(Operator("a b".into())), "a"))), ["documents[1].operator"]);
    }

    #[test]
    fn the_request_itself_has_bounds() {
        let long = |message: String| v1::ApplyRequest { message, ..Default::default() };
        assert_eq!(refusals(long("ä".repeat(MOST_MESSAGE + 1))), ["message"]);
        assert!(decode(long("ä".repeat(MOST_MESSAGE))).is_ok());
        let file_set = v1::ApplyRequest { file_set: "a b".to_owned(), ..Default::default() };
        assert_eq!(refusals(file_set), ["file_set"]);
        let bad = vec![service("A"); MOST_REFUSALS + 1];
        let many = refusals(request(v1::Document { services: bad, ..Default::default() }));
        assert_eq!(many.len(), MOST_REFUSALS);
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_said_is_passed_on() {
        assert_eq!(decode(v1::ApplyRequest::default()).expect("empty is fine").file_set, DEFAULT_FILE_SET);
        let document = v1::Document { services: vec![service("web")], ..Default::default() };
        let apply = decode(v1::ApplyRequest {
            file_set: "shop".to_owned(),
            prune: true,
            force: true,
            dry_run: true,
            if_revision: Some(7),
            message: "why".to_owned(),
            ..request(document)
        })
        .expect("valid");
        assert_eq!((apply.file_set.as_str(), apply.message.as_str()), ("shop", "why"));
        assert_eq!((apply.prune, apply.force, apply.dry_run), (true, true, true));
        assert_eq!(apply.if_revision, Some(Revision(7)));
        assert_eq!(apply.declared[0].path, "documents[1].services[0]");
    }
}
