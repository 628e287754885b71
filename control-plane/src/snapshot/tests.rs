//! Deltas, digests and pages hold for whatever happens.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use prost::Message;
use weir_proto::{Digest, Epoch, ObjectKey, ObjectKind, Revision, v1};

use super::{Draft, Snapshot};
use crate::registry::testing::{backend, service};

use super::Object;

/// A change of one object: set with a weight, or removed.
type Op = (u8, Option<u32>);

fn object(name: u8, weight: u32) -> Object {
    if name.is_multiple_of(4) {
        return service(&format!("s{name}"), weight % 10);
    }
    let mut backend = backend(&format!("s{}/b{name}", name % 3));
    backend.weight = weight;
    Object::backend(backend)
}

/// The snapshots after each revision, from the empty one on.
fn history(revisions: &[Vec<Op>], tombstones: usize) -> Vec<Snapshot> {
    let mut history = vec![Snapshot::empty(Epoch(1))];
    for ops in revisions {
        let mut draft = Draft::new(&history[history.len() - 1], tombstones);
        for (name, weight) in ops {
            let object = object(*name, weight.unwrap_or(1));
            match weight {
                Some(_) => _ = draft.put(object, v1::ObjectMeta::default()),
                None => _ = draft.remove(&object.key),
            }
        }
        history.push(draft.finish().0);
    }
    history
}

fn contents(snapshot: &Snapshot) -> BTreeMap<ObjectKey, bytes::Bytes> {
    snapshot.entries().map(|e| (e.object.key.clone(), e.object.body.clone())).collect()
}

fn digest(contents: &BTreeMap<ObjectKey, bytes::Bytes>) -> Digest {
    contents.iter().fold(Digest::default(), |digest, (key, body)| digest.with(key, body))
}

fn histories() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let op = (0..16u8, prop::option::weighted(0.6, 1..9u32));
    prop::collection::vec(prop::collection::vec(op, 0..4), 1..20)
}

proptest! {
    #[test]
    fn every_delta_leads_to_the_later_state(revisions in histories(), tombstones in 0..20usize) {
        let history = history(&revisions, tombstones);
        for (i, from) in history.iter().enumerate() {
            for to in &history[i..] {
                let Some(delta) = to.delta_since(from.revision()) else {
                    prop_assert!(from.revision() < to.floor());
                    continue;
                };
                let mut objects = contents(from);
                let body = v1::DeltaBody::decode(delta.body()).expect("decodes");
                for gone in body.removed {
                    let key = ObjectKey::try_from(gone).expect("valid");
                    prop_assert!(!delta.upserted.iter().any(|e| e.object.key == key));
                    objects.remove(&key);
                }
                for object in body.upserted {
                    let kind = ObjectKind::try_from(object.kind).expect("known");
                    objects.insert(ObjectKey::new(kind, &object.name), object.body);
                }
                prop_assert_eq!(&objects, &contents(to));
                prop_assert_eq!(digest(&objects), to.position().digest);
            }
        }
    }

    #[test]
    fn counts_floor_and_tombstones_hold(revisions in histories(), tombstones in 0..20usize) {
        for snapshot in history(&revisions, tombstones) {
            for kind in ObjectKind::ALL {
                prop_assert_eq!(snapshot.count(kind), snapshot.list(kind, None).count());
            }
            prop_assert!(snapshot.tombstones.size() <= tombstones);
            prop_assert!(snapshot.tombstones.values().all(|at| *at > snapshot.floor()));
            prop_assert_eq!(snapshot.changed.size(), snapshot.len());
        }
    }

    #[test]
    fn pages_hold_every_object_once(revisions in histories(), page_bytes in 1..400usize) {
        let history = history(&revisions, 10);
        let snapshot = Arc::new(history[history.len() - 1].clone());
        let pages: Vec<_> = snapshot.pages(page_bytes).collect();
        let mut objects = Vec::new();
        for (i, page) in pages.iter().enumerate() {
            prop_assert_eq!(page.index as usize, i);
            prop_assert_eq!(page.last, i + 1 == pages.len());
            let body = v1::SnapshotBody::decode(page.body.clone()).expect("decodes");
            prop_assert!(page.body.len() <= page_bytes || body.objects.len() == 1);
            objects.extend(body.objects);
        }
        let all: Vec<_> = snapshot.entries().map(|e| e.object.wire()).collect();
        prop_assert_eq!(objects, all);
    }
}

#[test]
fn an_empty_configuration_is_one_empty_page() {
    let pages: Vec<_> = Arc::new(Snapshot::empty(Epoch(1))).pages(100).collect();
    assert!(matches!(&pages[..], [page] if page.last && page.index == 0 && page.total_objects == 0));
}

#[test]
fn there_is_no_delta_from_the_future_or_from_below_the_floor() {
    let history = history(&[vec![(1, Some(1))], vec![(1, None)], vec![(2, Some(1))]], 0);
    let newest = &history[3];
    assert_eq!(newest.floor(), Revision(2));
    assert!(newest.delta_since(Revision(1)).is_none());
    assert!(newest.delta_since(Revision(2)).is_some_and(|d| d.upserted.len() == 1 && d.removed.is_empty()));
    assert!(newest.delta_since(Revision(3)).is_some_and(|d| d.upserted.is_empty()));
    assert!(newest.delta_since(Revision(4)).is_none());
}

#[test]
fn a_services_backends_are_its_own() {
    let mut draft = Draft::new(&Snapshot::empty(Epoch(1)), 0);
    for name in ["web/a", "web/b", "web-2/a", "web.x/a", "wea/z"] {
        draft.put(Object::backend(backend(name)), v1::ObjectMeta::default());
    }
    let web = backend("web/a").key.service;
    let names = |after| -> Vec<String> {
        draft.view().backends_of(&web, after).map(|e| e.object.key.name.to_string()).collect()
    };
    assert_eq!(names(None), ["web/a", "web/b"]);
    assert_eq!(names(Some("web/a")), ["web/b"]);
}
