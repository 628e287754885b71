//! The file that a copy is kept in: written as a whole now and then, and continued by what changed in between, so that a
//! change costs what it changes, however large the configuration is.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{FILE, LastGood, change, format};
use crate::objects::ReceivedKey;

/// The changes after a copy may take as much room as the copy, but always this.
const ROOM: usize = 64 << 10;
/// A change of more than one object in so many is written as a copy: that is no larger in the end.
const SHARE: usize = 4;

/// The copies in one directory. It blocks.
#[derive(Debug)]
pub(super) struct Copies {
    path: PathBuf,
    /// None until a copy was written, and after a failure.
    open: Option<Open>,
}

/// A file that can be continued.
#[derive(Debug)]
struct Open {
    file: File,
    /// What it holds.
    written: LastGood,
    /// What the next change is chained to.
    chain: u64,
    /// How many bytes of changes have room.
    room: usize,
}

impl Copies {
    /// Nothing is written yet. What an earlier run did not finish goes.
    pub(super) fn new(dir: &Path) -> Self {
        let copies = Self { path: dir.join(FILE), open: None };
        let _ = fs::remove_file(copies.unfinished());
        copies
    }

    /// Where the newest one is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file hold this copy, which differs from the one that was written last in these objects. Whenever the
    /// power fails, the file holds this copy or an older one, whole.
    pub(super) fn write(&mut self, copy: &LastGood, keys: &HashSet<ReceivedKey>) -> io::Result<()> {
        // After a failure nobody knows how the file ends.
        if let Some(mut open) = self.open.take()
            && keys.len() * SHARE <= copy.state.objects.len()
            && open.file.metadata()?.ino() == fs::metadata(&self.path).map_or(0, |there| there.ino())
        {
            let bytes = change::encode(&open.written, copy, keys, open.chain);
            if bytes.len() <= open.room {
                open.file.write_all(&bytes)?;
                open.file.sync_data()?;
                let (chain, room) = (change::chain(&bytes), open.room - bytes.len());
                self.open = Some(Open { written: copy.clone(), chain, room, ..open });
                return Ok(());
            }
        }
        self.open = Some(self.begin(copy)?);
        Ok(())
    }

    /// Replaces the file as a whole or not at all.
    fn begin(&self, copy: &LastGood) -> io::Result<Open> {
        let new = self.unfinished();
        let begun = self.replace(&new, copy);
        if begun.is_err() {
            // On a full disk it would keep the room that others, and the next attempt, need.
            let _ = fs::remove_file(&new);
        }
        begun
    }

    fn replace(&self, new: &Path, copy: &LastGood) -> io::Result<Open> {
        let mut file = File::create(new)?;
        let bytes = format::encode(copy);
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        let (chain, room) = (change::chain(&bytes), bytes.len().max(ROOM));
        Ok(Open { file, written: copy.clone(), chain, room })
    }

    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("new")
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::{Epoch, Revision};

    use super::*;
    use crate::{
        last_good::load,
        objects::{Objects, Position, Received, State},
    };

    fn key(n: usize) -> ReceivedKey {
        ReceivedKey { kind: 3, name: format!("web/{n}").into() }
    }

    /// A hundred objects, one of which says at which revision this is.
    fn copy(revision: usize) -> (LastGood, HashSet<ReceivedKey>) {
        let mut objects = Objects::default();
        for n in 0..100 {
            let body = if n == 7 { format!("{revision:01000}") } else { String::new() };
            objects.insert(key(n), Received { body: body.into(), level: 0 });
        }
        let at = Revision(revision as u64);
        let position = Position { epoch: Epoch(1), revision: at, digest: objects.digest() };
        let previous = Objects::default();
        (LastGood { state: State { position, objects }, previous }, HashSet::from([key(7)]))
    }

    fn size(copies: &Copies) -> u64 {
        fs::metadata(copies.path()).unwrap().len()
    }

    #[test]
    fn a_change_costs_what_it_changes_until_a_new_copy_is_smaller() {
        let dir = tempfile::tempdir().unwrap();
        let mut copies = Copies::new(dir.path());
        let (first, keys) = copy(1_000);
        copies.write(&first, &keys).unwrap();
        let (whole, mut before, mut begun) = (size(&copies), size(&copies), 0);
        for revision in 1_001..1_100 {
            let (next, keys) = copy(revision);
            copies.write(&next, &keys).unwrap();
            let now = size(&copies);
            if now > before {
                assert!(now - before < 1_100, "{} bytes for one object", now - before);
            } else {
                begun += 1;
                assert_eq!(now, whole);
            }
            before = now;
            assert!(now <= whole + ROOM as u64);
        }
        assert!(begun >= 1, "it never began anew");
        let read = load(dir.path()).unwrap();
        assert_eq!(read.state.position, copy(1_099).0.state.position);
    }

    #[test]
    fn a_full_disk_keeps_nothing_unfinished_and_nothing_stays_of_an_earlier_run() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("last-good.new");
        fs::write(&new, "of a run that was killed").unwrap();
        let mut copies = Copies::new(dir.path());
        assert!(!new.exists());
        let (first, keys) = copy(1);
        copies.write(&first, &keys).unwrap();

        let mut copies = Copies::new(dir.path());
        std::os::unix::fs::symlink("/dev/full", &new).unwrap();
        let error = copies.write(&copy(2).0, &keys).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(fs::symlink_metadata(&new).is_err(), "it is removed");
        assert_eq!(load(dir.path()).unwrap().state.position.revision, Revision(1), "the older copy is whole");
        copies.write(&copy(3).0, &keys).unwrap();
        assert_eq!(load(dir.path()).unwrap().state.position.revision, Revision(3));
    }

    #[test]
    fn what_was_torn_or_taken_away_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut copies = Copies::new(dir.path());
        for revision in 1..4 {
            let (next, keys) = copy(revision);
            copies.write(&next, &keys).unwrap();
        }
        let bytes = fs::read(copies.path()).unwrap();
        fs::write(copies.path(), &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(load(dir.path()).unwrap().state.position.revision, Revision(2), "the last change is torn");

        fs::remove_file(copies.path()).unwrap();
        let (next, keys) = copy(4);
        copies.write(&next, &keys).unwrap();
        assert_eq!(load(dir.path()).unwrap().state.position.revision, Revision(4));
    }
}
