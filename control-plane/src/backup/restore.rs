//! Making a store out of a backup: all of it is checked before anything is touched.

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use weir_proto::{Digest, Epoch, ObjectKey, Revision, v1};

use super::{
    file::Decoder,
    record::{Content, End, Header},
};
use crate::{
    error::Error,
    journal::{Before, Journal, MOST_NAMED, Retention, RevisionRecord},
    snapshot::{Entry, Marks, Position, Snapshot},
    store::{Batch, Place, Sqlite, Store, Write},
};

/// Revisions, or audit records, that are written at once.
const AT_ONCE: usize = 1_000;

/// What to restore.
#[derive(Debug, Clone, clap::Args)]
pub struct Restore {
    /// The backup, as `weir backup` wrote it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Restore into DIR/weir.db; the directory is made if it is missing
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Move what is there aside, as DIR/weir.db.before-restore-TIME
    #[arg(long)]
    pub force: bool,

    /// Have proxies take the restored configuration even if it has lost much of what they know, as `weir epoch accept`
    /// does
    #[arg(long)]
    pub accept_epoch: bool,
}

/// Makes the store, and says what was done. Blocks. After an error all is as it was.
///
/// The store has a new epoch, so that proxies notice, and one revision more than the backup.
pub fn restore(wanted: &Restore) -> Result<String, Error> {
    let backup = check(&wanted.file).map_err(|reason| {
        let reason = format!("the backup {} cannot be used: {reason}", wanted.file.display());
        Error::Restore { reason }
    })?;
    let place = Place::new(&wanted.data_dir.join("weir.db"), wanted.force)?;
    let position = fill(place.fresh(), &backup, wanted).inspect_err(|_| place.clear())?;
    let moved = place.replace()?;
    let (header, now) = (&backup.header, position.revision);
    let aside = moved.map_or_else(String::new, |path| format!("; what was there is {} now", path.display()));
    Ok(format!(
        "restored revision {} of epoch {} from {} into {} as revision {now} of the new epoch {}: {} objects, {} \
         revisions of history{aside}",
        header.revision,
        Epoch(header.epoch),
        wanted.file.display(),
        wanted.data_dir.join("weir.db").display(),
        position.epoch,
        backup.snapshot.len(),
        backup.end.revisions,
    ))
}

/// A backup in which everything is right. Its history is still in the file.
struct Checked {
    header: Header,
    snapshot: Snapshot,
    tombstones: Vec<(ObjectKey, Revision)>,
    end: End,
}

/// Reads all of a backup.
fn check(file: &Path) -> Result<Checked, String> {
    let mut decoder = open(file)?;
    let Content::Header(header) = decoder.next()? else {
        return Err("it does not begin with a header".to_owned());
    };
    let (mut counted, mut entries, mut tombstones) = (End::default(), Vec::new(), Vec::new());
    let mut revision = None;
    let end = loop {
        let at = decoder.at();
        let content = decoder.next()?;
        counted.count(&content);
        let wrong = |what: &dyn std::fmt::Display| format!("what stands at byte {at} is not valid: {what}");
        match content {
            Content::Header(_) => return Err(wrong(&"a second header")),
            Content::Object(stored) => {
                let entry = Arc::<Entry>::try_from(stored).map_err(|e| wrong(&e))?;
                if entry.modified().0 > header.revision {
                    return Err(wrong(&format_args!("{} is newer than the backup", entry.object.key)));
                }
                entries.push(entry);
            }
            Content::Tombstone(stone) => {
                let key = key(stone.object).map_err(|e| wrong(&e))?;
                tombstones.push((key, Revision(stone.revision)));
            }
            Content::Revision(stored) => {
                let number = stored.info.as_ref().map_or(0, |info| info.revision);
                let follows = revision.is_none_or(|last| number < last);
                if number == 0 || number > header.revision || !follows {
                    return Err(wrong(&format_args!("a revision {number} cannot be here")));
                }
                revision = Some(number);
            }
            Content::Before(stored) => _ = before(stored, revision).map_err(|e| wrong(&e))?,
            Content::Audit(record) if record.sequence == 0 => {
                return Err(wrong(&"a record without a number"));
            }
            Content::Audit(_) => {}
            Content::End(end) => break end,
        }
    };
    if !decoder.is_at_end()? {
        return Err(format!("something follows after its end, at byte {}", decoder.at()));
    }
    counted.history_floor = end.history_floor;
    if counted != end {
        return Err("it has not as many records as it says".to_owned());
    }
    let count = entries.len();
    let marks = Marks {
        epoch: Epoch(header.epoch),
        accepted: Revision(0),
        revision: Revision(header.revision),
        floor: Revision(header.floor),
    };
    let snapshot = Snapshot::restore(marks, entries, tombstones.clone(), []);
    let (found, digest) = (snapshot.position().digest, Digest(header.digest));
    if snapshot.len() != count || found != digest {
        return Err(format!("its objects have the digest {found}, not {digest}"));
    }
    Ok(Checked { header, snapshot, tombstones, end })
}

/// Makes a store at `path` out of a backup, and loads it once to see.
fn fill(path: &Path, backup: &Checked, wanted: &Restore) -> Result<Position, Error> {
    let mut store = Sqlite::open(path)?;
    // The epoch of a new store is random.
    let epoch = store.load()?.position.epoch;
    let revision = Revision(backup.header.revision).next();
    let position = Position { epoch, revision, digest: Digest(backup.header.digest) };
    let mut batch = Batch {
        position,
        accepted: if wanted.accept_epoch { revision } else { Revision(0) },
        floor: Revision(backup.header.floor),
        writes: Vec::new(),
        journal: Journal { keep: Retention::ALL, ..Journal::default() },
    };
    let put = backup.snapshot.entries().map(|entry| Write::Put(Arc::clone(entry)));
    let removed = backup.tombstones.iter().map(|(key, at)| Write::Remove(key.clone(), *at));
    let (record, audit) = told(backup, revision, &wanted.file);
    let floor = Revision(backup.end.history_floor);
    let journal = Journal { revisions: vec![record], floor, keep: Retention::ALL, ..Journal::default() };
    let first = Batch { writes: put.chain(removed).collect(), journal, ..batch.clone() };
    store.commit(&first)?;
    drop(first);

    let mut decoder = open(&wanted.file).map_err(|reason| Error::Restore { reason })?;
    loop {
        let full = batch.journal.revisions.len() + batch.journal.audit.len() >= AT_ONCE;
        let content = decoder.next().map_err(|reason| Error::Restore { reason })?;
        let is_before = matches!(content, Content::Before(_));
        if (full && !is_before) || matches!(content, Content::End(_)) {
            store.commit(&batch)?;
            batch.journal.revisions.clear();
            batch.journal.audit.clear();
        }
        match content {
            Content::End(_) => break,
            Content::Revision(stored) => batch.journal.revisions.push(RevisionRecord {
                info: stored.info.unwrap_or_default(),
                automatic: stored.automatic,
                befores: Vec::new(),
            }),
            Content::Before(stored) => {
                let Some(record) = batch.journal.revisions.last_mut() else { continue };
                let before = before(stored, Some(record.info.revision));
                let before = before.map_err(|reason| Error::Restore { reason })?;
                // Those below the floor are of no use.
                if record.info.revision > floor.0 {
                    record.befores.push(before);
                }
            }
            Content::Audit(record) => batch.journal.audit.push(record),
            Content::Header(_) | Content::Object(_) | Content::Tombstone(_) => {}
        }
    }
    // Last, so that it gets the newest number.
    batch.journal.audit = vec![audit];
    store.commit(&batch)?;
    drop(store);
    let mut store = Sqlite::open(path)?;
    let name = store.describe();
    store.load()?.into_snapshot(&name).map(|snapshot| snapshot.position())
}

/// What the history and the audit log say of the restoring.
fn told(backup: &Checked, revision: Revision, file: &Path) -> (RevisionRecord, v1::AuditRecord) {
    let (from, epoch) = (backup.header.revision, Epoch(backup.header.epoch));
    let message = format!("restored revision {from} of epoch {epoch} from {}", file.display());
    let objects: Vec<_> =
        backup.snapshot.entries().take(MOST_NAMED).map(|entry| entry.object.key.wire()).collect();
    let time = Some(SystemTime::now().into());
    let info = v1::RevisionInfo {
        revision: revision.0,
        time,
        author: Some(v1::Caller::default()),
        cause: v1::RevisionCause::Restore as i32,
        message: message.clone(),
        changes: u32::try_from(backup.snapshot.len()).unwrap_or(u32::MAX),
        objects: objects.clone(),
        rolled_back_to: 0,
        digest: Some(backup.header.digest),
    };
    let audit = v1::AuditRecord {
        time,
        caller: Some(v1::Caller::default()),
        call: "Restore".to_owned(),
        objects,
        message,
        revision: revision.0,
        ..v1::AuditRecord::default()
    };
    (RevisionRecord { info, automatic: false, befores: Vec::new() }, audit)
}

fn open(file: &Path) -> Result<Decoder<BufReader<fs::File>>, String> {
    let opened = fs::File::open(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Decoder::new(BufReader::new(opened))
}

fn key(wire: Option<v1::ObjectRef>) -> Result<ObjectKey, String> {
    let wire = wire.ok_or("it names no object")?;
    ObjectKey::try_from(wire).map_err(|e| e.to_string())
}

fn before(stored: super::record::Before, revision: Option<u64>) -> Result<Before, String> {
    if revision.is_none() {
        return Err("it belongs to no revision".to_owned());
    }
    let key = key(stored.object)?;
    let entry = stored.stored.map(Arc::<Entry>::try_from).transpose().map_err(|e| e.to_string())?;
    match &entry {
        Some(entry) if entry.object.key != key => Err(format!("{} is told as {key}", entry.object.key)),
        _ => Ok(Before { key, entry }),
    }
}
