//! What every engine must do, run against each.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_proto::{Epoch, ObjectKey, Revision, v1};

use super::{Batch, Memory, Sqlite, Store, open};
use crate::{
    registry::testing::{backend, service},
    snapshot::{Draft, Object, Snapshot},
};

/// One commit: objects that are put with a weight or removed; whether the epoch is accepted with it.
type Commit = (Vec<(u8, Option<u32>)>, bool);

fn object(name: u8, weight: u32) -> Object {
    if name < 2 {
        return service(&format!("s{name}"), weight);
    }
    let mut backend = backend(&format!("s/b{name}"));
    backend.weight = weight;
    Object::backend(backend)
}

fn loaded(store: &mut dyn Store) -> Snapshot {
    let name = store.describe();
    store.load().expect("loads").into_snapshot(&name).expect("sound")
}

/// Everything that must survive, in a form that can be compared.
fn everything(snapshot: &Snapshot) -> String {
    let entries: Vec<_> = snapshot.entries().map(|e| (e.object.wire(), e.meta.clone())).collect();
    let deltas: Vec<_> = (0..=snapshot.revision().0 + 1)
        .map(|from| snapshot.delta_since(Revision(from)).map(|delta| delta.body()))
        .collect();
    format!(
        "{:?} {} {:?} {entries:?} {deltas:?}",
        snapshot.position(),
        snapshot.epoch_accepted(),
        snapshot.floor()
    )
}

/// Commits a step made by `change`, and answers the state after it.
fn step(store: &mut dyn Store, base: &Snapshot, change: impl FnOnce(&mut Draft)) -> Snapshot {
    let mut draft = Draft::new(base, 3);
    change(&mut draft);
    let (next, touched) = draft.finish();
    store.commit(&Batch::between(&next, &touched.keys)).expect("commits");
    next
}

/// What is loaded is what was committed, whatever that was, and from wherever the store is opened again.
fn check(mut reopen: impl FnMut(Option<Box<dyn Store>>) -> Box<dyn Store>, commits: &[Commit]) {
    let mut store = reopen(None);
    let mut state = loaded(&mut *store);
    assert_ne!(state.position().epoch, Epoch(0));
    assert_eq!((state.revision(), state.len(), state.epoch_accepted()), (Revision(0), 0, false));
    for (ops, accept) in commits {
        state = step(&mut *store, &state, |draft| {
            for (name, weight) in ops {
                match weight {
                    Some(weight) => _ = draft.put(object(*name, *weight), v1::ObjectMeta::default()),
                    None => _ = draft.remove(&object(*name, 1).key),
                }
            }
            if *accept {
                draft.accept_epoch();
            }
        });
        store = reopen(Some(store));
        assert_eq!(everything(&loaded(&mut *store)), everything(&state));
    }
}

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let ops = prop::collection::vec((0..8u8, prop::option::weighted(0.6, 1..9u32)), 0..5);
    prop::collection::vec((ops, prop::bool::weighted(0.1)), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn memory_holds_what_was_committed(commits in commits()) {
        check(|store| store.unwrap_or_else(|| Box::new(Memory::new())), &commits);
    }

    #[test]
    fn sqlite_holds_what_was_committed(commits in commits()) {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("weir.db").display());
        check(|store| { drop(store); open(&url).expect("opens") }, &commits);
    }
}

#[test]
fn a_batch_that_spans_commands_keeps_the_last_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores: [Box<dyn Store>; 2] =
        [Box::new(Memory::new()), Box::new(Sqlite::open(&dir.path().join("weir.db")).expect("opens"))];
    for mut store in stores {
        let base = loaded(&mut *store);
        let mut draft = Draft::new(&base, 3);
        draft.put(object(5, 1), v1::ObjectMeta::default());
        let (middle, first) = draft.finish();
        let mut draft = Draft::new(&middle, 3);
        draft.remove(&object(5, 1).key);
        draft.put(object(6, 2), v1::ObjectMeta::default());
        let (next, second) = draft.finish();
        let keys: BTreeSet<ObjectKey> = first.keys.union(&second.keys).cloned().collect();
        store.commit(&Batch::between(&next, &keys)).expect("commits");
        assert_eq!(everything(&loaded(&mut *store)), everything(&next), "{}", store.describe());
    }
}

#[test]
fn an_unknown_url_is_refused() {
    for url in ["", "sqlite:", "etcd:here", "memory:x"] {
        let error = open(url).expect_err("must be refused").to_string();
        assert_eq!(error, format!("unknown store {url:?}: must be sqlite:PATH or memory"));
    }
}
