//! What every engine must do, run against each.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_proto::{Epoch, ObjectKey, ProxyId, Revision, v1};

use super::{Batch, Memory, Sqlite, Store, open};
use crate::{
    journal::{Before, Journal, ProxyWrite, Query, Retention, RevisionRecord, befores},
    registry::testing::{backend, service},
    snapshot::{Draft, Object, Snapshot},
};

/// One commit: objects that are put with a weight or removed; whether the epoch is accepted with it; what is remembered
/// besides; whether an agent did it.
type Commit = (Vec<(u8, Option<u32>)>, bool, Vec<Aside>, bool);

/// What is remembered without being a change.
#[derive(Debug, Clone)]
enum Aside {
    Refusal(u8),
    Proxy(u8, bool),
}

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

/// All that is remembered, in the engine's own words.
fn remembered(store: &mut dyn Store) -> String {
    let query = |automatic, object: Option<ObjectKey>, befores| Query {
        before: None,
        most: 1_000,
        automatic,
        object,
        befores,
    };
    let floor = store.history_floor().expect("read");
    let all = store.revisions(&query(true, None, true)).expect("read");
    let manual = store.revisions(&query(false, None, false)).expect("read");
    let of_object = store.revisions(&query(true, Some(object(5, 1).key), true)).expect("read");
    let of_both = store.revisions(&query(false, Some(object(1, 1).key), false)).expect("read");
    let second =
        Query { before: all.first().map(RevisionRecord::revision), most: 1, ..query(true, None, false) };
    let second = store.revisions(&second).expect("read");
    let audit = store.audit(None, 1_000).expect("read");
    let newest = store.audit(audit.first().map(|record| record.sequence), 2).expect("read");
    let last = all.first().map_or(floor, RevisionRecord::revision);
    let befores: Vec<_> = (floor.0..=last.0)
        .map(|since| {
            let mut befores = store.befores(Revision(since)).expect("read");
            befores.sort_by(|a, b| a.key.cmp(&b.key));
            told(&befores)
        })
        .collect();
    let records = |records: &[RevisionRecord]| -> Vec<_> {
        records.iter().map(|r| (r.info.clone(), r.automatic, told(&r.befores))).collect()
    };
    let proxies = store.load().expect("loads").proxies;
    format!(
        "{floor} {:?} {:?} {:?} {:?} {:?} {audit:?} {newest:?} {befores:?} {proxies:?}",
        records(&all),
        records(&manual),
        records(&of_object),
        records(&of_both),
        records(&second)
    )
}

fn told(befores: &[Before]) -> Vec<String> {
    let plain = |entry: &std::sync::Arc<crate::snapshot::Entry>| (entry.object.wire(), entry.meta.clone());
    befores.iter().map(|b| format!("{} {:?}", b.key, b.entry.as_ref().map(plain))).collect()
}

/// What is remembered of a step, as the registry says it.
fn journal(
    base: &Snapshot,
    next: &Snapshot,
    keys: &BTreeSet<ObjectKey>,
    asides: &[Aside],
    automatic: bool,
) -> Journal {
    let revision = next.revision().0;
    let info = v1::RevisionInfo { revision, message: format!("the {revision}."), ..Default::default() };
    let record = RevisionRecord { info, automatic, befores: befores(base, next, keys) };
    let mut journal = Journal { keep: Retention { revisions: 3, audit: 5 }, ..Journal::default() };
    journal.revisions.extend((next.revision() > base.revision()).then_some(record));
    for aside in asides {
        match aside {
            Aside::Refusal(n) => {
                let reason = format!("refused {n}");
                journal.audit.push(v1::AuditRecord { reason, code: 3, ..Default::default() });
            }
            Aside::Proxy(n, true) => {
                let proxy = v1::ProxyInfo { id: format!("p{n}"), revision, ..Default::default() };
                journal.proxies.push(ProxyWrite::Put(proxy));
            }
            Aside::Proxy(n, false) => {
                let id = ProxyId::try_from(format!("p{n}").as_str()).expect("valid");
                journal.proxies.push(ProxyWrite::Remove(id));
            }
        }
    }
    journal
}

/// Commits a step made by `change`, and answers the state after it.
fn step(
    store: &mut dyn Store,
    base: &Snapshot,
    change: impl FnOnce(&mut Draft),
    asides: &[Aside],
    automatic: bool,
) -> (Snapshot, Batch) {
    let mut draft = Draft::new(base, 3);
    change(&mut draft);
    let (next, touched) = draft.finish();
    let mut batch = Batch::between(&next, &touched.keys);
    batch.journal = journal(base, &next, &touched.keys, asides, automatic);
    store.commit(&batch).expect("commits");
    (next, batch)
}

/// What is loaded is what was committed, whatever that was, and from wherever the store is opened again.
fn check(mut reopen: impl FnMut(Option<Box<dyn Store>>) -> Box<dyn Store>, commits: &[Commit]) {
    let mut store = reopen(None);
    // What is simple to read shows what is right for the others.
    let mut simple = Memory::new();
    let mut state = loaded(&mut *store);
    assert_ne!(state.position().epoch, Epoch(0));
    assert_eq!((state.revision(), state.len(), state.epoch_accepted()), (Revision(0), 0, false));
    for (ops, accept, asides, automatic) in commits {
        let change = |draft: &mut Draft| {
            for (name, weight) in ops {
                match weight {
                    Some(weight) => _ = draft.put(object(*name, *weight), v1::ObjectMeta::default()),
                    None => _ = draft.remove(&object(*name, 1).key),
                }
            }
            if *accept {
                draft.accept_epoch();
            }
        };
        let (next, batch) = step(&mut *store, &state, change, asides, *automatic);
        state = next;
        simple.commit(&batch).expect("commits");
        store = reopen(Some(store));
        assert_eq!(remembered(&mut *store), remembered(&mut simple));
        assert_eq!(everything(&loaded(&mut *store)), everything(&state));
    }
}

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let ops = prop::collection::vec((0..8u8, prop::option::weighted(0.6, 1..9u32)), 0..5);
    let aside = prop_oneof![
        any::<u8>().prop_map(Aside::Refusal),
        (0..3u8, prop::bool::weighted(0.7)).prop_map(|(n, there)| Aside::Proxy(n, there)),
    ];
    let asides = prop::collection::vec(aside, 0..3);
    prop::collection::vec((ops, prop::bool::weighted(0.1), asides, prop::bool::weighted(0.3)), 1..10)
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
        check(|store| { drop(store); open(&url, None).expect("opens") }, &commits);
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
fn the_history_is_kept_as_long_as_it_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores: [Box<dyn Store>; 2] =
        [Box::new(Memory::new()), Box::new(Sqlite::open(&dir.path().join("weir.db")).expect("opens"))];
    for mut store in stores {
        let mut state = loaded(&mut *store);
        for n in 1..=10 {
            let put = |draft: &mut Draft| _ = draft.put(object(0, n), v1::ObjectMeta::default());
            state = step(&mut *store, &state, put, &[Aside::Refusal(0)], n % 5 == 0).0;
        }
        let query = Query { before: None, most: 99, automatic: true, object: None, befores: true };
        let records = store.revisions(&query).expect("read");
        let numbers: Vec<_> = records.iter().map(|record| record.info.revision).collect();
        assert_eq!(numbers, [10, 9, 8, 7, 5], "{}", store.describe());
        // As it was at 6 is told by what was before 7.
        assert_eq!(store.history_floor().expect("read"), Revision(6));
        let before = store.befores(Revision(6)).expect("read").remove(0).entry.expect("was there");
        assert_eq!(before.object.body, object(0, 6).body);
        assert_eq!(
            store.audit(None, 99).expect("read").iter().map(|r| r.sequence).collect::<Vec<_>>(),
            [10, 9, 8, 7, 6]
        );
        let done = store.compact(Retention { revisions: 1, audit: 5 }).expect("compacted");
        assert_eq!((done.floor, store.befores(Revision(8)).expect("read").len()), (Revision(8), 1));
    }
}

#[test]
fn an_unknown_url_is_refused() {
    for url in ["", "sqlite:", "etcd:here", "memory:x"] {
        let error = open(url, None).expect_err("must be refused").to_string();
        assert_eq!(error, format!("unknown store {url:?}: --store must be sqlite:PATH or memory"));
    }
    let error = open("postgres://me:secret@db/weir", None).expect_err("must be refused").to_string();
    assert!(error.starts_with("unknown store \"postgres://db/weir\": "), "{error}");
}
