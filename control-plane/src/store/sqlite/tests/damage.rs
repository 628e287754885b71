//! What a disk may do to a store: what a crash leaves behind is taken, what nothing explains is refused.

use std::{fs, path::Path};

use weir_proto::Revision;

use super::*;

/// A copy of a store whose whole content is in the log: as a crash leaves it after `commits` commits.
fn crashed(commits: u32) -> (tempfile::TempDir, PathBuf) {
    let (dir, path) = file();
    let mut store = Sqlite::open(&path).expect("opens");
    for n in 0..commits {
        fill(&mut store, 20 + n).expect("commits");
    }
    let copy = path.with_file_name("copy.db");
    fs::copy(&path, &copy).expect("copied");
    fs::copy(log(&path), log(&copy)).expect("copied");
    (dir, copy)
}

fn log(path: &Path) -> PathBuf {
    super::super::lock::beside(path, "-wal")
}

fn revision(path: &Path) -> Result<Revision, Error> {
    Sqlite::open(path).and_then(|mut store| load(&mut store)).map(|state| state.revision())
}

#[test]
fn a_log_that_is_damaged_in_the_middle_is_refused_with_the_place_and_the_way_out() {
    let (_dir, path) = crashed(6);
    let whole = fs::read(log(&path)).expect("there");
    let frame = 24 + 4096;
    // A page, the salt of a frame, its checksum, the header.
    for at in [32 + frame * 3 + 1_000, 32 + frame * 3 + 9, 32 + frame * 3 + 17, 18] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(log(&path), &bytes).expect("written");
        let error = revision(&path).expect_err("must be refused");
        assert!(matches!(error, Error::StoreCorrupt { .. }), "{at}: {error}");
        let text = error.to_string();
        assert!(text.contains("copy.db-wal") && text.contains("weir-control-plane restore"), "{text}");
        assert!(at == 18 || text.contains(&format!("frame 4, at byte {}", 32 + frame * 3)), "{text}");
        assert_eq!(fs::read(log(&path)).expect("there"), bytes, "left alone");
    }
    fs::write(log(&path), &whole).expect("written");
    assert_eq!(revision(&path).expect("loads"), Revision(6));
}

#[test]
fn a_torn_end_of_the_log_is_what_a_crash_leaves() {
    let (_dir, path) = crashed(6);
    let whole = fs::read(log(&path)).expect("there");
    let pristine = fs::read(&path).expect("there");
    let mut earlier = 0;
    for cut in [1, 100, 4_096, 4_120, 4_121, 10_000] {
        let mut torn = whole[..whole.len() - cut].to_vec();
        if cut == 100 {
            // Torn otherwise: of the right length, but not all of it was written.
            torn.resize(whole.len(), 0);
        }
        fs::write(&path, &pristine).expect("written");
        fs::write(log(&path), &torn).expect("written");
        // What says how much was acknowledged is another test's matter.
        let _ = fs::remove_file(super::super::lock::beside(&path, ".acknowledged"));
        let found = revision(&path).expect("what was whole is there");
        assert!((Revision(1)..=Revision(6)).contains(&found), "{found}");
        earlier += u32::from(found < Revision(6));
    }
    assert!(earlier > 0);
}

#[test]
fn no_damage_to_the_file_makes_another_configuration_of_it() {
    let (_dir, path) = file();
    let state = fill(&mut Sqlite::open(&path).expect("opens"), 400).expect("commits");
    let whole = fs::read(&path).expect("there");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).expect("written");
        match Sqlite::open(&path).and_then(|mut store| load(&mut store)) {
            Ok(loaded) => assert_eq!(loaded.position(), state.position(), "byte {at}"),
            Err(error) => {
                refused += 1;
                assert!(
                    matches!(
                        error,
                        Error::StoreCorrupt { .. } | Error::StoreFormat { .. } | Error::StoreUnusable { .. }
                    ),
                    "byte {at}: {error}"
                );
            }
        }
        let _ = fs::remove_file(log(&path));
    }
    assert!(refused > 20, "{refused}");
}
