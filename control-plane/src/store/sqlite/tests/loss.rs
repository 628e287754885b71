//! Files that are not all there: every store has all that was acknowledged, or is refused with what is missing.

use std::{fs, path::Path};

use weir_proto::Revision;

use super::{super::lock::beside, *};
use crate::journal::{Query, RevisionRecord};

/// What makes up a store.
const PARTS: [&str; 3] = ["", "-wal", ".acknowledged"];

/// Commits that many revisions to the store in `dir`, and copies it as a crash leaves it.
fn crashed(dir: &Path, revisions: u32) -> PathBuf {
    let path = dir.join("weir.db");
    let mut store = Sqlite::open(&path).expect("opens");
    for n in 0..revisions {
        fill(&mut store, 2 + n % 5).expect("commits");
        if n == 5 {
            store
                .connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                .expect("part of it is in the file");
        }
    }
    let copy = dir.join("copy.db");
    copy_store(&path, &copy);
    copy
}

fn copy_store(from: &Path, to: &Path) {
    for part in PARTS {
        fs::copy(beside(from, part), beside(to, part)).expect("copied");
    }
}

fn open(path: &Path, accepted: Option<u64>) -> Result<Snapshot, Error> {
    load(&mut Sqlite::open_without(path, accepted.map(Revision))?)
}

/// The refusal of a store, which is left as it is.
fn refusal(path: &Path, accepted: Option<u64>) -> String {
    let read = |part| fs::read(beside(path, part)).ok();
    let before = PARTS.map(read);
    let error = open(path, accepted).expect_err("must be refused");
    assert!(matches!(error, Error::StoreIncomplete { .. }), "{error}");
    assert!(PARTS.map(read) == before, "it is not left alone: {error}");
    error.to_string()
}

#[test]
fn a_file_that_is_empty_or_missing_beside_its_log_is_refused_and_both_are_named() {
    let (dir, _) = file();
    let path = crashed(dir.path(), 3);
    for acknowledged in [true, false] {
        if !acknowledged {
            fs::remove_file(beside(&path, ".acknowledged")).expect("removed");
        }
        fs::write(&path, "").expect("written");
        let empty = refusal(&path, None);
        fs::remove_file(&path).expect("removed");
        let missing = refusal(&path, Some(1));
        assert!(
            empty.contains("copy.db is empty, and its log ") && missing.contains("copy.db is missing"),
            "{empty}"
        );
        assert!(empty.contains("copy.db-wal has ") && empty.contains("restore FILE"), "{empty}");
        assert!(empty.contains("to start anew"), "{empty}");
    }
    // The way out that is named.
    fs::remove_file(beside(&path, "-wal")).expect("moved away");
    assert_eq!(open(&path, None).expect("a new one").revision(), Revision(0));
}

#[test]
fn a_store_that_is_gone_is_not_made_anew_without_a_word() {
    let (dir, _) = file();
    let path = crashed(dir.path(), 3);
    fs::remove_file(beside(&path, "-wal")).expect("removed");
    for empty in [false, true] {
        fs::remove_file(&path).expect("removed");
        if empty {
            fs::write(&path, "").expect("written");
        }
        let said = refusal(&path, None);
        assert!(said.contains("3 acknowledged revisions, 1 to 3, are missing"), "{said}");
        assert_eq!(path.exists(), empty);
        refusal(&path, Some(2));
        fs::write(&path, "").expect("written");
    }
    assert_eq!(open(&path, Some(1)).expect("accepted").revision(), Revision(1));
    assert_eq!(open(&path, None).expect("settled").revision(), Revision(1));
}

#[test]
fn a_restore_that_was_cut_off_is_not_taken_for_a_new_store() {
    let (_dir, path) = file();
    fs::write(beside(&path, ".restoring"), "half").expect("written");
    assert!(refusal(&path, None).contains("a restore was cut off; run it again"));
}

#[test]
fn a_log_that_is_cut_or_damaged_anywhere_loses_nothing_without_a_word() {
    let (dir, _) = file();
    let pristine = crashed(dir.path(), 40);
    let whole = fs::read(beside(&pristine, "-wal")).expect("there");
    let (frame, path) = (24 + 4096, dir.path().join("cut.db"));
    let mut cuts: Vec<usize> =
        (32..whole.len()).step_by(frame).flat_map(|at| [at, at + 1, at + 2_000]).collect();
    cuts.extend([0, 1, 31]);
    let cut = |at: usize| whole[..at.min(whole.len())].to_vec();
    let damaged = |at: usize| {
        let mut bytes = whole.clone();
        bytes[whole.len() - 1 - at] ^= 0x10;
        bytes
    };
    // Within the last transaction, which nothing follows that would show it.
    let logs = cuts.into_iter().map(cut).chain((0..61).map(|n| damaged(n * 60)));
    let (mut refused, mut complete) = (0, 0);
    for log in logs {
        copy_store(&pristine, &path);
        fs::write(beside(&path, "-wal"), &log).expect("written");
        match open(&path, None) {
            Ok(state) => {
                assert_eq!(state.revision(), Revision(40), "{}", log.len());
                complete += 1;
            }
            Err(Error::StoreIncomplete { reason, .. }) => {
                refused += 1;
                // Opening it is expensive.
                if refused % 9 == 1 {
                    accept(&pristine, &path, &log, &reason);
                }
            }
            Err(error) => panic!("{}: {error}", log.len()),
        }
    }
    println!("{refused} logs refused, {complete} had everything");
    assert!(refused > 100, "{refused} refused, {complete} complete");
}

/// What is lost can be accepted as it is said, and not otherwise.
fn accept(pristine: &Path, path: &Path, log: &[u8], reason: &str) {
    let again = || {
        copy_store(pristine, path);
        fs::write(beside(path, "-wal"), log).expect("written");
    };
    let number = reason.split("--accept-loss-from ").nth(1).and_then(|rest| rest.split(',').next());
    let from: u64 = number.and_then(|n| n.parse().ok()).expect("a number");
    let lost = 41 - from;
    let told = if lost == 1 {
        "revision 40, which was".into()
    } else {
        format!("{lost} acknowledged revisions, {from} to 40")
    };
    assert!(reason.contains(&told), "{reason}");
    for wrong in [from - 1, from + 1, 40, 41] {
        again();
        assert!(wrong == from || wrong == 0 || open(path, Some(wrong)).is_err(), "{wrong} for {from}");
    }
    copy_store(pristine, path);
    let epoch = open(path, None).expect("all of it").position().epoch;
    again();
    let mut store = Sqlite::open_without(path, Some(Revision(from))).expect("accepted");
    let state = load(&mut store).expect("loads");
    assert_eq!(state.revision(), Revision(from));
    assert!(state.position().epoch != epoch && !state.epoch_accepted(), "proxies guard themselves");
    let query = Query { before: None, most: 1, automatic: false, object: None, befores: false };
    let told = store.revisions(&query).expect("read").remove(0).info;
    assert!(told.message.contains(&format!("--accept-loss-from {from}")), "{}", told.message);
    fill(&mut store, 7).expect("commits");
    drop(store);
    assert_eq!(open(path, None).expect("goes on").revision(), Revision(from + 1));
}

#[test]
fn what_nobody_heard_of_may_be_torn_off() {
    let (dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    let mut acknowledged = Vec::new();
    for n in 0..6 {
        acknowledged = fs::read(beside(&path, ".acknowledged")).expect("there");
        fill(&mut store, 20 + n).expect("commits");
    }
    let copy = dir.path().join("copy.db");
    copy_store(&path, &copy);
    let log = fs::read(beside(&copy, "-wal")).expect("there");
    fs::write(beside(&copy, "-wal"), &log[..log.len() - 100]).expect("written");
    refusal(&copy, None);
    // The power failed before the last commit was noted.
    fs::write(beside(&copy, ".acknowledged"), acknowledged).expect("written");
    assert_eq!(open(&copy, None).expect("what was acknowledged is there").revision(), Revision(5));
}

#[test]
fn a_store_without_the_file_or_with_an_unreadable_one_starts_and_has_it_from_then_on() {
    let (dir, _) = file();
    let path = crashed(dir.path(), 5);
    for content in [None, Some("nonsense")] {
        fs::remove_file(beside(&path, ".acknowledged")).expect("removed");
        if let Some(content) = content {
            fs::write(beside(&path, ".acknowledged"), content).expect("written");
        }
        assert_eq!(open(&path, None).expect("opens").revision(), Revision(5));
        assert_eq!(fs::metadata(beside(&path, ".acknowledged")).expect("there").len(), 8192);
    }
    fs::remove_file(&path).expect("removed");
    refusal(&path, None);
    fs::write(beside(&path, ".acknowledged"), "nonsense").expect("written");
    let _ = fs::remove_file(beside(&path, "-wal"));
    assert!(refusal(&path, None).contains("says that there was a store, cannot be read"));
}

#[test]
fn a_crash_between_a_new_epoch_and_its_note_loses_nothing_and_needs_no_word() {
    let (_dir, path) = file();
    let note = beside(&path, ".acknowledged");
    let mut store = Sqlite::open(&path).expect("opens");
    let mut commit = |draft: Draft, cause: v1::RevisionCause| {
        let (next, touched) = draft.finish();
        let info = v1::RevisionInfo {
            revision: next.revision().0,
            cause: cause as i32,
            digest: Some(next.position().digest.0),
            ..v1::RevisionInfo::default()
        };
        let mut batch = Batch::between(&next, &touched.keys);
        batch.journal.revisions.push(RevisionRecord { info, automatic: false, befores: Vec::new() });
        store.commit(&batch).expect("commits");
        next
    };
    let mut draft = Draft::new(&Snapshot::empty(weir_proto::Epoch(7)), 100);
    draft.put(service("web", 1), v1::ObjectMeta::default());
    let first = commit(draft, v1::RevisionCause::Apply);
    let noted = fs::read(&note).expect("noted");
    let mut draft = Draft::new(&first, 100);
    draft.begin_epoch();
    let begun = commit(draft, v1::RevisionCause::Epoch);
    drop(store);
    assert_ne!(begun.position().epoch, first.position().epoch);
    for said in [None, Some(begun.revision().0 + 1)] {
        fs::write(&note, &noted).expect("as the crash left it");
        assert_eq!(open(&path, said).expect("it is whole").position(), begun.position());
    }
    // The note of another store says nothing for this one.
    let (_other_dir, other) = file();
    fill(&mut Sqlite::open(&other).expect("opens"), 3).expect("commits");
    fs::copy(beside(&other, ".acknowledged"), &note).expect("copied");
    let error = open(&path, None).expect_err("must be refused");
    assert!(error.to_string().contains("it is another store"), "{error}");
}

#[test]
fn a_loss_that_was_accepted_is_accepted_although_a_crash_came_before_its_note() {
    let (dir, _) = file();
    let path = crashed(dir.path(), 9);
    let log = fs::read(beside(&path, "-wal")).expect("there");
    fs::write(beside(&path, "-wal"), &log[..log.len() - 100]).expect("cut");
    let noted = fs::read(beside(&path, ".acknowledged")).expect("noted");
    let state = open(&path, Some(9)).expect("accepted");
    for said in [Some(9), None] {
        fs::write(beside(&path, ".acknowledged"), &noted).expect("as the crash left it");
        assert_eq!(open(&path, said).expect("it was accepted").position(), state.position());
    }
}

#[test]
fn the_parts_of_two_stores_are_not_one_store() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (a, b) = (crashed(one.path(), 9), crashed(two.path(), 12));
    let whole = one.path().join("whole.db");
    copy_store(&a, &whole);
    let (acknowledged, mut refused) = (open(&whole, None).expect("whole").position(), 0);
    for part in PARTS {
        let path = one.path().join("mixed.db");
        copy_store(&a, &path);
        fs::copy(beside(&b, part), beside(&path, part)).expect("copied");
        match open(&path, None) {
            // The log alone holds the newest form of every page.
            Ok(state) => assert_eq!((part, state.position()), ("", acknowledged)),
            Err(Error::StoreIncomplete { .. } | Error::StoreCorrupt { .. }) => refused += 1,
            Err(error) => panic!("{part}: {error}"),
        }
    }
    assert!(refused >= 2, "{refused}");
}

#[test]
fn a_change_that_cannot_be_noted_is_durable_all_the_same() {
    let (_dir, path) = file();
    let file = beside(&path, ".acknowledged");
    drop(Sqlite::open(&path).expect("opens"));
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("in the way");
    assert!(
        matches!(Sqlite::open(&path), Err(Error::StoreFailed { .. })),
        "a disk that does not do what it should"
    );
}
