//! The newest acknowledged revision, in a small file beside the store: so that a log which lost its end is not taken
//! for a whole one.
//!
//! The file has two slots of one block each, written in turn, so that a write that is torn leaves the other one. A slot
//! is written after its commit is durable and before anybody hears of it, and a thread syncs it while the commit is
//! answered and the next one is gathered and written; the next one waits for that. So a commit pays for no second sync,
//! the file is never ahead of the store, and after a loss of power it is at most one batch behind.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use weir_proto::{Digest, Epoch, Revision};
use xxhash_rust::xxh3::xxh3_64;

use crate::snapshot::Position;

/// A slot begins with it; the last byte is the format.
const MAGIC: [u8; 8] = *b"WeirAck\x01";
/// Bytes from one slot to the next: what disks and file systems write at once.
const BLOCK: usize = 4096;
const SLOT: u64 = BLOCK as u64;
/// Magic, count, epoch, revision, digest, and a checksum of all these.
const RECORD: usize = 6 * 8;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// There is one, and it cannot be read: why.
    Unreadable(String),
    /// What was acknowledged.
    Record(Position),
}

/// The file, written with every commit.
#[derive(Debug)]
pub(super) struct Acknowledged {
    path: PathBuf,
    /// None where it could not be opened yet.
    file: Option<Slots>,
    last: Option<Position>,
}

/// The open file and the thread that syncs it.
#[derive(Debug)]
struct Slots {
    file: File,
    /// Of the newest record; says which slot it is in.
    count: u64,
    /// Tells the thread to sync. None once it is to end.
    sync: Option<SyncSender<()>>,
    synced: Receiver<io::Result<()>>,
    is_syncing: bool,
    thread: Option<JoinHandle<()>>,
}

/// The content of the file at `path`.
pub(super) fn read(path: &Path) -> Found {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Unreadable(error.to_string()),
    };
    match newest(&file) {
        Ok(Some((_, position))) => Found::Record(position),
        Ok(None) => Found::Unreadable("neither of its two records is as it was written".to_owned()),
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

impl Acknowledged {
    /// The file at `path`, which is not touched yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, last: None }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says that the store is durable at `position`; it is there at the latest when this is called again. Fails as the
    /// sync before did.
    pub(super) fn note(&mut self, position: Position) -> io::Result<()> {
        if self.last == Some(position) {
            return Ok(());
        }
        let slots = match self.file.take() {
            Some(slots) => slots,
            None => Slots::open(&self.path)?,
        };
        let slots = self.file.insert(slots);
        slots.wait()?;
        slots.write(position)?;
        self.last = Some(position);
        Ok(())
    }

    /// Waits until all that was noted is on the disk.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Slots::wait)
    }
}

/// Whether a file that cannot be written for this reason may be left behind for a while: the store itself will say so if
/// it is in the same trouble.
pub(super) fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied)
}

impl Slots {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let count = newest(&file)?.map_or(0, |(count, _)| count);
        if file.metadata()?.len() < 2 * SLOT {
            // All the room that it ever needs, so that no later write makes the file system write more than that.
            file.write_all_at(&[0; 2 * BLOCK], 0)?;
            file.sync_all()?;
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()?;
        }
        let (sync, asked) = sync_channel::<()>(1);
        let (tell, synced) = sync_channel(1);
        let synced_file = file.try_clone()?;
        let work = move || {
            for () in asked {
                if tell.send(synced_file.sync_data()).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("acknowledged".to_owned()).spawn(work)?;
        Ok(Self { file, count, sync: Some(sync), synced, is_syncing: false, thread: Some(thread) })
    }

    fn write(&mut self, position: Position) -> io::Result<()> {
        let count = self.count + 1;
        self.file.write_all_at(&encode(count, position), count % 2 * SLOT)?;
        self.count = count;
        let gone = || io::Error::other("the thread that syncs it has ended");
        self.sync.as_ref().ok_or_else(gone)?.send(()).map_err(|_| gone())?;
        self.is_syncing = true;
        Ok(())
    }

    /// Waits for the sync that is under way, if there is one.
    fn wait(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.is_syncing) {
            return Ok(());
        }
        let gone = |_| Err(io::Error::other("the thread that syncs it has ended"));
        self.synced.recv().unwrap_or_else(gone)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if let Err(error) = self.wait() {
            tracing::warn!(%error, "the newest acknowledged revision may not be on the disk beside the store");
        }
        self.sync = None;
        // It can only have panicked, which has been told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The newer of the two records that are whole, with its count.
fn newest(file: &File) -> io::Result<Option<(u64, Position)>> {
    let mut records = [None; 2];
    for (slot, found) in (0..).zip(&mut records) {
        let mut record = [0; RECORD];
        match file.read_exact_at(&mut record, slot * SLOT) {
            Ok(()) => *found = decode(&record),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records.into_iter().flatten().max_by_key(|(count, _)| *count))
}

fn encode(count: u64, position: Position) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let Position { epoch, revision, digest } = position;
    let words = [u64::from_be_bytes(MAGIC), count, epoch.0, revision.0, digest.0];
    for (bytes, word) in record.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    let sum = xxh3_64(&record[..RECORD - 8]);
    record[RECORD - 8..].copy_from_slice(&sum.to_be_bytes());
    record
}

/// None if it is not as it was written.
fn decode(record: &[u8; RECORD]) -> Option<(u64, Position)> {
    let mut words =
        record.chunks_exact(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap_or_default()));
    let mut next = || words.next().unwrap_or_default();
    let (magic, count) = (next(), next());
    let position = Position { epoch: Epoch(next()), revision: Revision(next()), digest: Digest(next()) };
    let is_sound = magic == u64::from_be_bytes(MAGIC) && next() == xxh3_64(&record[..RECORD - 8]);
    is_sound.then_some((count, position))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(revision: u64) -> Position {
        Position { epoch: Epoch(7), revision: Revision(revision), digest: Digest(revision * 3) }
    }

    fn written(revisions: std::ops::RangeInclusive<u64>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("acknowledged");
        let mut file = Acknowledged::new(path.clone());
        for revision in revisions {
            file.note(at(revision)).expect("written");
        }
        (dir, path)
    }

    #[test]
    fn the_newest_is_read_back_and_goes_on_from_there() {
        let (_dir, path) = written(1..=5);
        assert_eq!(read(&path), Found::Record(at(5)));
        Acknowledged::new(path.clone()).note(at(6)).expect("written");
        assert_eq!(read(&path), Found::Record(at(6)));
        assert_eq!(fs::metadata(&path).expect("there").len(), 2 * SLOT);
        assert_eq!(read(&path.with_extension("none")), Found::Nothing);
    }

    #[test]
    fn a_write_that_was_torn_leaves_the_one_before() {
        let (_dir, path) = written(1..=5);
        let whole = fs::read(&path).expect("there");
        for byte in 0..RECORD {
            for slot in 0..2 {
                let mut bytes = whole.clone();
                let at_byte = slot * BLOCK + byte;
                bytes[at_byte] ^= 0x40;
                fs::write(&path, &bytes).expect("written");
                let newest = 5 % 2 == slot;
                assert_eq!(read(&path), Found::Record(at(if newest { 4 } else { 5 })), "{slot} {byte}");
            }
        }
        fs::write(&path, vec![0; 8192]).expect("written");
        assert!(matches!(read(&path), Found::Unreadable(_)));
        fs::write(&path, "short").expect("written");
        assert!(matches!(read(&path), Found::Unreadable(_)));
        Acknowledged::new(path.clone()).note(at(9)).expect("written");
        assert_eq!(read(&path), Found::Record(at(9)));
    }
}
