//! Files that are not as they should be, and files that others have.

mod damage;
mod format;
mod loss;

use std::{fs, path::PathBuf};

use rusqlite::Connection;
use weir_proto::v1;

use super::Sqlite;
use crate::{
    error::Error,
    registry::testing::{backend, service},
    snapshot::{Draft, Object, Snapshot},
    store::{Batch, Store},
};

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("weir.db");
    (dir, path)
}

fn refused(path: &std::path::Path) -> Error {
    Sqlite::open(path).map(|mut store| load(&mut store)).and_then(|state| state).expect_err("must be refused")
}

fn load(store: &mut Sqlite) -> Result<Snapshot, Error> {
    let name = store.describe();
    store.load()?.into_snapshot(&name)
}

/// Commits one revision with that many backends.
fn fill(store: &mut Sqlite, backends: u32) -> Result<Snapshot, Error> {
    let mut draft = Draft::new(&load(store)?, 100);
    draft.put(service("web", 1), v1::ObjectMeta::default());
    for n in 0..backends {
        draft.put(Object::backend(backend(&format!("web/{n}"))), v1::ObjectMeta::default());
    }
    let (next, touched) = draft.finish();
    store.commit(&Batch::between(&next, &touched.keys)).map(|()| next)
}

/// Commits one more backend.
fn fill_more(store: &mut Sqlite, state: &Snapshot) -> Result<(), Error> {
    let mut draft = Draft::new(state, 100);
    draft.put(Object::backend(backend("web/more")), v1::ObjectMeta::default());
    let (next, touched) = draft.finish();
    store.commit(&Batch::between(&next, &touched.keys))
}

#[test]
fn a_log_that_was_never_checkpointed_is_read() {
    let (_dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    let state = fill(&mut store, 10).expect("commits");
    // A copy taken while the store is open is what a crash leaves behind.
    let copy = path.with_file_name("copy.db");
    fs::copy(&path, &copy).expect("copied");
    fs::copy(path.with_file_name("weir.db-wal"), path.with_file_name("copy.db-wal")).expect("copied");
    assert!(fs::metadata(&copy).expect("there").len() < 4096 * 4, "all of it is in the log");
    let mut store = Sqlite::open(&copy).expect("opens");
    assert_eq!(load(&mut store).expect("loads").position(), state.position());
}

#[test]
fn garbage_is_refused_and_left_alone() {
    let (_dir, path) = file();
    let garbage = b"this is not a database, however often it is read as one".repeat(100);
    fs::write(&path, &garbage).expect("written");
    let error = refused(&path);
    assert!(matches!(error, Error::StoreCorrupt { .. }), "{error}");
    assert!(error.to_string().contains("weir.db is damaged"), "{error}");
    assert_eq!(fs::read(&path).expect("there"), garbage);
}

#[test]
fn a_truncated_file_is_refused() {
    let (_dir, path) = file();
    fill(&mut Sqlite::open(&path).expect("opens"), 1_000).expect("commits");
    let whole = fs::read(&path).expect("there");
    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let error = refused(&path);
    assert!(matches!(error, Error::StoreCorrupt { .. }), "{error}");
}

#[test]
fn an_object_that_is_not_the_one_that_was_written_is_noticed() {
    let (_dir, path) = file();
    fill(&mut Sqlite::open(&path).expect("opens"), 3).expect("commits");
    Connection::open(&path)
        .and_then(|c| c.execute("DELETE FROM object WHERE name = 'web/1'", []))
        .expect("deleted");
    let error = refused(&path).to_string();
    assert!(error.contains("its objects have the digest"), "{error}");
}

#[test]
fn another_version_and_another_program_are_refused() {
    let (_dir, path) = file();
    drop(Sqlite::open(&path).expect("opens"));
    let set = |pragma, value| {
        let connection = Connection::open(&path).expect("opens");
        connection.pragma_update(None, pragma, value).expect("set");
    };
    set("user_version", 99);
    assert!(refused(&path).to_string().contains("it has format 99"), "{}", refused(&path));
    set("application_id", 7);
    assert!(refused(&path).to_string().contains("another program"), "{}", refused(&path));
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let (_dir, path) = file();
    let first = Sqlite::open(&path).expect("opens");
    let error = refused(&path);
    assert!(matches!(&error, Error::StoreInUse { lock, .. } if lock.ends_with("weir.db.lock")), "{error}");
    drop(first);
    Sqlite::open(&path).expect("opens");
}

#[test]
fn a_full_disk_changes_nothing_and_recovers() {
    let (_dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    let state = fill(&mut store, 10).expect("commits");
    store.connection.pragma_update(None, "max_page_count", 12).expect("set");
    let error = fill(&mut store, 10_000).expect_err("no room");
    assert!(matches!(error, Error::StoreFull { .. }) && !error.is_fatal(), "{error}");
    assert_eq!(load(&mut store).expect("loads").position(), state.position());
    store.connection.pragma_update(None, "max_page_count", 1_000_000).expect("set");
    fill(&mut store, 10_000).expect("there is room again");
}

#[test]
fn nobody_elses_lock_makes_a_commit_fail() {
    let (_dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    let other = Connection::open(&path).expect("opens");
    other.busy_timeout(std::time::Duration::ZERO).expect("set");
    other.execute_batch("BEGIN IMMEDIATE").expect_err("the file is the store's");
    fill(&mut store, 3).expect("commits");
    assert!(!path.with_file_name("weir.db-shm").exists(), "the log's index is in memory");
}

#[test]
fn a_store_that_failed_is_not_written_to_again() {
    let (_dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    let state = fill(&mut store, 3).expect("commits");
    store.connection.execute_batch("ALTER TABLE tombstone RENAME TO elsewhere").expect("renamed");
    let error = fill_more(&mut store, &state).expect_err("a table is gone");
    assert!(error.is_fatal(), "{error}");
    let log = path.with_file_name("weir.db-wal");
    let before = fs::read(&log).expect("a log");
    drop(store);
    assert_eq!(fs::read(&log).expect("still there"), before);
}

#[test]
fn a_missing_directory_is_named() {
    let (dir, _) = file();
    let error = refused(&dir.path().join("nowhere/weir.db"));
    assert!(matches!(error, Error::StoreUnusable { .. }), "{error}");
    assert!(error.to_string().contains("check that the directory exists"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written_is_refused_unless_we_are_root() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, path) = file();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).expect("set");
    // Root may write everywhere: then there is nothing to see.
    if fs::write(dir.path().join("probe"), "").is_err() {
        assert!(matches!(refused(&path), Error::StoreUnusable { .. }));
    }
}
