//! What a backup may be relied on for.

use std::{fs, path::PathBuf};

use futures_util::StreamExt;
use proptest::prelude::*;
use weir_proto::{Digest, Revision, v1};

use super::*;
use crate::{
    error::Error,
    journal::Query,
    registry::{
        Apply, Registry, Target, Task,
        testing::{backend, declare, fixed, key, leased, me, route, service, start},
    },
    snapshot::{Object, Position, Snapshot},
    store::open,
};

/// A registry with some of everything in it.
async fn world() -> (Registry, Task) {
    let (registry, task, _store) = start().await;
    for n in 1..4 {
        let shop = [service("web", n), Object::backend(backend("web/a")), route("r", "shop.example", "web")];
        let apply = Apply { message: format!("the {n}."), ..declare("shop", shop) };
        registry.apply(&me(), apply).await.expect("applied");
    }
    registry.register(&me(), leased("web/b", "agent")).await.expect("registered");
    registry.register(&me(), fixed("web/c", "")).await.expect("registered");
    registry.deregister(&me(), Target::Backend(key("web/c"))).await.expect("gone");
    registry.apply(&me(), declare("other", [service("web", 9)])).await.expect_err("is another's");
    (registry, task)
}

async fn bytes(registry: &Registry) -> Vec<u8> {
    let mut chunks = backup(registry);
    let mut file = Vec::new();
    while let Some(chunk) = chunks.next().await {
        file.extend_from_slice(&chunk.expect("no error"));
    }
    file
}

/// A directory, and in it a backup of these bytes that is to be restored beside it.
fn wanted(bytes: &[u8]) -> (tempfile::TempDir, Restore) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("backup");
    fs::write(&file, bytes).expect("written");
    let data_dir = dir.path().join("data");
    (dir, Restore { file, data_dir, force: false, accept_epoch: false })
}

fn url(wanted: &Restore) -> String {
    format!("sqlite:{}", wanted.data_dir.join("weir.db").display())
}

fn load(wanted: &Restore) -> Snapshot {
    open(&url(wanted), None)
        .and_then(|mut store| store.load())
        .expect("loads")
        .into_snapshot("x")
        .expect("sound")
}

fn objects(snapshot: &Snapshot) -> Vec<(v1::Object, v1::ObjectMeta)> {
    snapshot.entries().map(|entry| (entry.object.wire(), entry.meta.clone())).collect()
}

fn files(dir: &std::path::Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn all() -> Query {
    Query { before: None, most: usize::MAX, automatic: true, object: None, befores: true }
}

#[tokio::test]
async fn what_is_restored_is_what_was_backed_up_in_a_new_epoch() {
    let (registry, _task) = world().await;
    let (_dir, wanted) = wanted(&bytes(&registry).await);
    let told = restore(&wanted).expect("restored");
    assert!(told.contains("as revision 7 of the new epoch"), "{told}");
    assert_eq!(files(&wanted.data_dir), ["weir.db", "weir.db.acknowledged", "weir.db.lock"]);

    let (old, new) = (registry.current(), load(&wanted));
    let Position { epoch, revision, digest } = old.position();
    assert_ne!(new.position().epoch, epoch);
    assert_eq!((new.revision(), new.position().digest), (revision.next(), digest));
    assert!(!new.epoch_accepted());
    assert_eq!(objects(&new), objects(&old));
    assert_eq!(new.tombstones().collect::<Vec<_>>(), old.tombstones().collect::<Vec<_>>());

    let store = open(&url(&wanted), None).expect("opens");
    let options = crate::registry::Options::new(crate::metrics::Metrics::default());
    let (restored, _other) = Registry::start(store, options).await.expect("starts");
    let mut history = restored.history(all()).await.expect("read").records;
    assert_eq!(history.remove(0).info.cause(), v1::RevisionCause::Restore);
    assert_eq!(history, registry.history(all()).await.expect("read").records);
    let audit = restored.audit(None, 100).await.expect("read");
    assert_eq!(audit[0].call, "Restore");
    assert_eq!(audit[1..], registry.audit(None, 100).await.expect("read"));
    let rollback = crate::registry::Rollback {
        own_addresses: std::collections::BTreeMap::new(),
        to: Revision(1),
        dry_run: false,
        if_revision: None,
        message: String::new(),
    };
    let done = restored.rollback(&me(), rollback).await.expect("as before");
    assert_eq!(done.revision, Revision(8));
}

#[tokio::test]
async fn an_empty_store_can_be_backed_up_and_an_epoch_accepted_in_advance() {
    let (registry, _task, _store) = start().await;
    let (_dir, mut wanted) = wanted(&bytes(&registry).await);
    wanted.accept_epoch = true;
    restore(&wanted).expect("restored");
    let new = load(&wanted);
    assert_eq!((new.len(), new.revision(), new.epoch_accepted()), (0, Revision(1), true));
    assert_eq!(new.position().digest, Digest::default());
}

#[tokio::test]
async fn a_store_is_replaced_only_by_force_and_kept_beside_with_its_log() {
    let (registry, _task) = world().await;
    let (_dir, mut wanted) = wanted(&bytes(&registry).await);
    restore(&wanted).expect("restored");
    let before = load(&wanted).position();
    let error = restore(&wanted).expect_err("there is one").to_string();
    assert!(error.contains("nothing was restored") && error.contains("give --force"), "{error}");
    assert_eq!(load(&wanted).position(), before);

    wanted.force = true;
    let running = open(&url(&wanted), None).expect("opens");
    let error = restore(&wanted).expect_err("is in use");
    assert!(matches!(error, Error::StoreInUse { .. }), "{error}");
    drop(running);
    // As a crash leaves it.
    fs::write(wanted.data_dir.join("weir.db-wal"), b"a log").expect("written");
    let told = restore(&wanted).expect("restored");
    assert_ne!(load(&wanted).position(), before);
    let kept: Vec<_> = files(&wanted.data_dir);
    let aside = kept.iter().find(|name| name.contains(".before-restore-")).expect("moved aside");
    assert!(told.contains(aside.as_str()), "{told}");
    let beside = ["-wal", ".acknowledged"].map(|end| format!("{aside}{end}"));
    assert!(beside.iter().all(|name| kept.contains(name)) && kept.len() == 6, "{kept:?}");
    let log = fs::read(wanted.data_dir.join(format!("{aside}-wal"))).expect("kept");
    assert_eq!(log, b"a log");
}

#[tokio::test]
async fn what_changes_meanwhile_does_not_make_it_inconsistent() {
    let (registry, _task, _store) = start().await;
    for n in 0..300 {
        registry.register(&me(), fixed(&format!("web/{n}"), "")).await.expect("registered");
    }
    let then = registry.current();
    let mut chunks = backup(&registry);
    let mut file = chunks.next().await.expect("a chunk").expect("no error").to_vec();
    for n in 0..50 {
        registry.deregister(&me(), Target::Backend(key(&format!("web/{n}")))).await.expect("gone");
    }
    while let Some(chunk) = chunks.next().await {
        file.extend_from_slice(&chunk.expect("no error"));
    }
    let (_dir, wanted) = wanted(&file);
    restore(&wanted).expect("consistent");
    let new = load(&wanted);
    assert!(new.revision() > then.revision() && new.len() >= 251);
}

#[test]
fn a_file_that_is_no_backup_is_left_alone() {
    let other = [&b"WEIRBKUP"[..], &9u32.to_le_bytes()].concat();
    for (bytes, reason) in [
        (&b""[..], "it was cut off"),
        (b"SQLite format 3 and so on", "it is no backup of Weir"),
        (&other, "it has format 9, and this version knows only 1"),
    ] {
        let (_dir, wanted) = wanted(bytes);
        let error = restore(&wanted).expect_err("must be refused").to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!wanted.data_dir.exists());
    }
    let (_dir, mut wanted) = wanted(b"");
    wanted.file = PathBuf::from("/nowhere/backup");
    let error = restore(&wanted).expect_err("must be refused").to_string();
    assert!(error.contains("/nowhere/backup: No such file"), "{error}");
}

/// The bytes of one backup, made once.
fn sample() -> &'static [u8] {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let (registry, _task) = world().await;
            bytes(&registry).await
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_damage_goes_unnoticed_or_touches_anything(at in any::<prop::sample::Index>(), kind in 0..4u8, bit in 0..8u8) {
        let mut bytes = sample().to_vec();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << bit,
            2 => bytes.insert(at, bit),
            _ => _ = bytes.remove(at),
        }
        prop_assume!(bytes != sample());
        let (_dir, wanted) = wanted(&bytes);
        let error = restore(&wanted).expect_err("must be refused").to_string();
        prop_assert!(error.starts_with("nothing was restored: the backup"), "{}", error);
        prop_assert!(!wanted.data_dir.exists());
    }
}
