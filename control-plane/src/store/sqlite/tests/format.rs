//! Files of older versions, and room that is given back.

use std::fs;

use rusqlite::Connection;
use weir_proto::Revision;

use super::*;
use crate::journal::{Journal, Query, Retention, RevisionRecord, befores};

/// As the first version made its files.
const FORMAT_1: &str = "
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL,
        epoch_accepted INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        digest INTEGER NOT NULL,
        floor INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE object (
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        body BLOB NOT NULL,
        level INTEGER NOT NULL,
        meta BLOB NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tombstone (
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tombstone_by_revision ON tombstone (revision);
";

/// What `path` has, in a file of format 1.
fn older(path: &std::path::Path) -> PathBuf {
    let old = path.with_file_name("old.db");
    let connection = Connection::open(&old).expect("opens");
    connection.execute_batch(FORMAT_1).expect("made");
    connection
        .execute_batch(&format!(
            "ATTACH '{}' AS new;
             INSERT INTO head SELECT id, epoch, epoch_accepted, revision, digest, floor FROM new.head;
             INSERT INTO object SELECT kind, name, body, level, meta FROM new.object;
             INSERT INTO tombstone SELECT kind, name, revision FROM new.tombstone;",
            path.display()
        ))
        .expect("copied");
    connection.pragma_update(None, "application_id", 0x5765_6972).expect("set");
    connection.pragma_update(None, "user_version", 1).expect("set");
    old
}

/// Commits one revision with that many backends, and what it changed.
fn commit(store: &mut Sqlite, base: &Snapshot, backends: u32, keep: Retention) -> Result<Snapshot, Error> {
    let mut draft = Draft::new(base, 100);
    for n in 0..backends {
        let mut backend = backend(&format!("web/{n}"));
        backend.weight = 1 + u32::try_from(base.revision().0 % 100).expect("small");
        draft.put(Object::backend(backend), v1::ObjectMeta::default());
    }
    let (next, touched) = draft.finish();
    let info = v1::RevisionInfo { revision: next.revision().0, ..Default::default() };
    let befores = befores(base, &next, &touched.keys);
    let mut batch = Batch::between(&next, &touched.keys);
    let revisions = vec![RevisionRecord { info, automatic: false, befores }];
    batch.journal = Journal { revisions, keep, ..Journal::default() };
    store.commit(&batch).map(|()| next)
}

fn size(path: &std::path::Path) -> u64 {
    let log = fs::metadata(path.with_file_name("weir.db-wal")).map_or(0, |file| file.len());
    fs::metadata(path).expect("there").len() + log
}

#[test]
fn a_file_of_the_first_format_is_taken_and_its_history_begins_now() {
    let (_dir, path) = file();
    let state = fill(&mut Sqlite::open(&path).expect("opens"), 100).expect("commits");
    let old = older(&path);
    for _ in 0..2 {
        let mut store = Sqlite::open(&old).expect("is taken");
        assert_eq!(load(&mut store).expect("loads").position(), state.position());
        assert_eq!(store.history_floor().expect("read"), state.revision());
    }
    let mut store = Sqlite::open(&old).expect("opens");
    let next = commit(&mut store, &state, 5, Retention::default()).expect("commits");
    assert_eq!(store.befores(state.revision()).expect("read").len(), 5);
    // It cannot give back single pages, but it can be made anew.
    let done = store.compact(Retention { revisions: 1, audit: 1 }).expect("compacted");
    assert!(done.bytes_after <= done.bytes_before);
    assert_eq!(load(&mut store).expect("loads").position(), next.position());
    let vacuum: i32 =
        store.connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).expect("set");
    assert_eq!(vacuum, 2);
}

#[test]
fn what_is_forgotten_gives_its_room_back() {
    let (_dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    let mut state = load(&mut store).expect("loads");
    for _ in 0..20 {
        state = commit(&mut store, &state, 500, Retention::default()).expect("commits");
    }
    let before = size(&path);
    let done = store.compact(Retention { revisions: 2, audit: 1 }).expect("compacted");
    assert_eq!((done.bytes_before, done.bytes_after, done.floor), (before, size(&path), Revision(18)));
    assert!(done.bytes_after * 3 < done.bytes_before, "{done:?}");
    assert_eq!(store.befores(Revision(18)).expect("read").len(), 500);
    drop(store);
    let mut store = Sqlite::open(&path).expect("opens");
    assert_eq!(load(&mut store).expect("loads").position(), state.position());
    let query = Query { before: None, most: 9, automatic: true, object: None, befores: false };
    assert_eq!(store.revisions(&query).expect("read").len(), 2);
}

#[test]
fn a_disk_that_is_full_while_it_compacts_leaves_the_store_as_it_was() {
    let (_dir, path) = file();
    let state = fill(&mut Sqlite::open(&path).expect("opens"), 2_000).expect("commits");
    let mut store = Sqlite::open(&older(&path)).expect("is taken");
    store.connection.pragma_update(None, "max_page_count", 3).expect("set");
    let done = store.compact(Retention::default());
    let most: i64 =
        store.connection.pragma_query_value(None, "max_page_count", |row| row.get(0)).expect("read");
    // SQLite lets no file shrink below what it has, so there may have been room after all.
    assert!(done.is_ok() || most > 3);
    assert_eq!(load(&mut store).expect("loads").position(), state.position());
    store.connection.pragma_update(None, "max_page_count", 1_000_000).expect("set");
    commit(&mut store, &state, 10, Retention::default()).expect("commits");
}
