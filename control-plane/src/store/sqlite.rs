//! The configuration in one SQLite file, synced with every commit.

mod acknowledged;
mod compact;
mod errors;
mod journal;
mod lock;
mod log;
mod loss;
mod place;
mod schema;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message;
use rusqlite::{Connection, OpenFlags, Row, Transaction, config::DbConfig, params};
use weir_proto::{Digest, Epoch, ObjectKey, ObjectKind, Revision, v1};

use super::{Batch, Loaded, Store, Write, fresh};
use crate::{
    error::Error,
    journal::{Before, Compacted, Query, Retention, RevisionRecord},
    snapshot::{Entry, Object, Position},
};
use acknowledged::{Acknowledged, Found};
use errors::{Failure, committing};
use journal::Kept;
use lock::Lock;
pub(crate) use place::Place;

/// An open file. No other process can open it until this is dropped.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    kept: Kept,
    acknowledged: Acknowledged,
    /// Released after the connection is closed.
    _lock: Lock,
}

impl Sqlite {
    /// Opens the file, or makes it. Refuses what another process has open, what another program or a newer version
    /// wrote, what is damaged, and what has lost something that was acknowledged.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::open_without(path, None)
    }

    /// The same, but goes on in a new epoch without what was acknowledged from the revision `accepted` on, if exactly
    /// that is lost.
    pub(crate) fn open_without(path: &Path, accepted: Option<Revision>) -> Result<Self, Error> {
        let name = name(path);
        let lock = Lock::take(path, &name)?;
        let acknowledged = Acknowledged::new(lock::beside(path, lock::ACKNOWLEDGED));
        let opened = open(path, &acknowledged, accepted).map_err(|failure| failure.opening(&name))?;
        let position = opened.position;
        let mut store = Self {
            connection: opened.connection,
            path: path.to_owned(),
            kept: opened.kept,
            acknowledged,
            _lock: lock,
        };
        store.acknowledge(position)?;
        match store.acknowledged.settle() {
            Err(error) if !acknowledged::may_pass(&error) => return Err(store.cannot_acknowledge(&error)),
            _ => {}
        }
        Ok(store)
    }
}

impl Sqlite {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
        read(&self.connection).map_err(|failure| failure.opening(&name(&self.path)))
    }

    /// The error of a write.
    fn failed(&self, error: &rusqlite::Error) -> Error {
        let error = committing(error, &name(&self.path), || try_to_write(&self.path));
        if error.is_fatal() {
            self.leave_alone();
        }
        error
    }

    /// Remembers outside the log that the store is at `position`, which is durable.
    fn acknowledge(&mut self, position: Position) -> Result<(), Error> {
        match self.acknowledged.note(position) {
            Err(error) if !acknowledged::may_pass(&error) => Err(self.cannot_acknowledge(&error)),
            Err(error) => {
                let file = self.acknowledged.path().display();
                weir_proto::seldom!(warn, %file, %error, "what is acknowledged cannot be noted beside the store");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn cannot_acknowledge(&self, error: &io::Error) -> Error {
        self.leave_alone();
        let reason = format!("{}: {error}", self.acknowledged.path().display());
        Error::StoreFailed { store: name(&self.path), reason }
    }

    /// See [`leave_alone`].
    fn leave_alone(&self) {
        leave_alone(&self.connection);
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Loaded, Error> {
        load(&mut self.connection).map_err(|failure| failure.opening(&name(&self.path)))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        let kept = commit(&mut self.connection, self.kept, batch);
        self.kept = kept.map_err(|error| self.failed(&error))?;
        self.acknowledge(batch.position)
    }

    fn revisions(&mut self, query: &Query) -> Result<Vec<RevisionRecord>, Error> {
        self.read(|connection| journal::revisions(connection, query))
    }

    fn befores(&mut self, since: Revision) -> Result<Vec<Before>, Error> {
        self.read(|connection| journal::befores(connection, since))
    }

    fn history_floor(&mut self) -> Result<Revision, Error> {
        self.read(journal::floor)
    }

    fn audit(&mut self, before: Option<u64>, most: usize) -> Result<Vec<v1::AuditRecord>, Error> {
        self.read(|connection| journal::audit(connection, before, most))
    }

    fn compact(&mut self, keep: Retention) -> Result<Compacted, Error> {
        let compacted = compact::compact(&mut self.connection, &self.path, &mut self.kept, keep);
        compacted.map_err(|error| self.failed(&error))
    }

    fn describe(&self) -> String {
        name(&self.path)
    }
}

/// An open store, and its position.
struct Opened {
    connection: Connection,
    kept: Kept,
    position: Position,
}

/// Opens the file at `path`, whose lock is held.
fn open(path: &Path, acknowledged: &Acknowledged, accepted: Option<Revision>) -> Result<Opened, Failure> {
    let file = acknowledged.path();
    let found = acknowledged::read(file);
    loss::is_there(path, &found, accepted)?;
    let log = lock::beside(path, "-wal");
    if let Some(reason) = log::damage(&log).map_err(|e| Failure::Damaged(e.to_string()))? {
        return Err(Failure::Damaged(format!("its log {}: {reason}", log.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::prepare(&mut connection)?;
    let kept = Kept::count(&connection)?;
    let position = position(&connection)?;
    match loss::judge(&found, position) {
        Some(_) if loss::began_its_epoch(&connection, &found, position)? => {}
        Some(loss) if accepted == Some(loss.from()) => {
            let (kept, position) = loss.accept(&mut connection, kept)?;
            tracing::warn!(epoch = %position.epoch, "the store goes on in a new epoch: {}", loss.text());
            return Ok(Opened { connection, kept, position });
        }
        Some(loss) => {
            leave_alone(&connection);
            return Err(loss.refusal(file));
        }
        None => {}
    }
    if accepted.is_some() {
        tracing::warn!(
            "--accept-loss-from is not needed: nothing that was acknowledged is missing; take it out"
        );
    }
    let file = file.display();
    match found {
        Found::Nothing if position.revision > Revision(0) => tracing::warn!(
            %file, revision = %position.revision,
            "whether all that was acknowledged is in the store is not known: the file that says so is not there, as after \
             an older version, or where the store was copied without it; it is written now"
        ),
        Found::Unreadable(reason) => tracing::warn!(
            %file, reason, revision = %position.revision,
            "whether all that was acknowledged is in the store is not known: the file that says so cannot be read; it is \
             written anew"
        ),
        _ => {}
    }
    Ok(Opened { connection, kept, position })
}

/// Has closing write nothing: whatever the disk did to the log, the next start is to find it so.
fn leave_alone(connection: &Connection) {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    if let Err(error) = set {
        tracing::warn!(%error, "the store may be written to once more when it is closed");
    }
}

/// The position of the newest committed state.
fn position(connection: &Connection) -> rusqlite::Result<Position> {
    connection.query_row("SELECT epoch, revision, digest FROM head", [], |row| {
        let (epoch, revision) = (Epoch(u64_at(row, 0)?), Revision(u64_at(row, 1)?));
        Ok(Position { epoch, revision, digest: Digest(u64_at(row, 2)?) })
    })
}

/// Writes a file of one page beside the store, and removes it.
fn try_to_write(path: &Path) -> io::Result<()> {
    let probe = lock::beside(path, ".probe");
    let written = fs::write(&probe, [0; 4096]);
    // One that could not be made cannot be removed either.
    let _ = fs::remove_file(&probe);
    written
}

fn name(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn load(connection: &mut Connection) -> Result<Loaded, Failure> {
    let transaction = connection.transaction()?;
    let position = position(&transaction)?;
    let head = transaction.query_row("SELECT epoch_accepted, floor FROM head", [], |row| {
        // Older versions wrote 1 for any.
        let accepted = Revision(u64_at(row, 0)?);
        Ok(Loaded { position, accepted, floor: Revision(u64_at(row, 1)?), ..fresh() })
    })?;
    let mut query =
        transaction.prepare("SELECT kind, name, body, level, meta FROM object ORDER BY kind, name")?;
    let mut rows = query.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Arc::new(entry(row)?));
    }
    let mut query = transaction.prepare("SELECT kind, name, revision FROM tombstone")?;
    let mut rows = query.query([])?;
    let mut tombstones = Vec::new();
    while let Some(row) = rows.next()? {
        tombstones.push((key(row)?, Revision(u64_at(row, 2)?)));
    }
    let (proxies, digests) = (journal::proxies(&transaction)?, journal::digests(&transaction)?);
    Ok(Loaded { entries, tombstones, proxies, digests, ..head })
}

fn commit(connection: &mut Connection, mut kept: Kept, batch: &Batch) -> rusqlite::Result<Kept> {
    let transaction = connection.transaction()?;
    for write in &batch.writes {
        match write {
            Write::Put(entry) => put(&transaction, entry)?,
            Write::Remove(key, at) => remove(&transaction, key, *at)?,
        }
    }
    transaction
        .prepare_cached("DELETE FROM tombstone WHERE revision <= ?1")?
        .execute([batch.floor.0.cast_signed()])?;
    transaction
        .prepare_cached(
            "UPDATE head SET epoch = ?1, epoch_accepted = ?2, revision = ?3, digest = ?4, floor = ?5",
        )?
        .execute(params![
            batch.position.epoch.0.cast_signed(),
            batch.accepted.0.cast_signed(),
            batch.position.revision.0.cast_signed(),
            batch.position.digest.0.cast_signed(),
            batch.floor.0.cast_signed(),
        ])?;
    journal::write(&transaction, &mut kept, &batch.journal)?;
    transaction.commit()?;
    Ok(kept)
}

fn put(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let Object { key, body, level, .. } = &entry.object;
    transaction
        .prepare_cached("DELETE FROM tombstone WHERE kind = ?1 AND name = ?2")?
        .execute(params![key.kind as u8, &*key.name])?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO object (kind, name, body, level, meta) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![key.kind as u8, &*key.name, &body[..], level, entry.meta.encode_to_vec()])?;
    Ok(())
}

fn remove(transaction: &Transaction<'_>, key: &ObjectKey, at: Revision) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM object WHERE kind = ?1 AND name = ?2")?
        .execute(params![key.kind as u8, &*key.name])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO tombstone (kind, name, revision) VALUES (?1, ?2, ?3)")?
        .execute(params![key.kind as u8, &*key.name, at.0.cast_signed()])?;
    Ok(())
}

fn entry(row: &Row<'_>) -> Result<Entry, Failure> {
    let key = key(row)?;
    let (body, level, meta) = (row.get::<_, Vec<u8>>(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?);
    decode(&key, body, level, &meta)
}

fn decode(key: &ObjectKey, body: Vec<u8>, level: u32, meta: &[u8]) -> Result<Entry, Failure> {
    let damaged = |what: &dyn std::fmt::Display| Failure::Damaged(format!("{key}: {what}"));
    let object = Object::stored(key.clone(), body.into(), level).map_err(|e| damaged(&e))?;
    let meta = v1::ObjectMeta::decode(meta).map_err(|e| damaged(&e))?;
    Ok(Entry { object, meta })
}

fn key(row: &Row<'_>) -> Result<ObjectKey, Failure> {
    let (kind, name) = (row.get::<_, i32>(0)?, row.get::<_, String>(1)?);
    let kind = ObjectKind::try_from(kind).map_err(|e| Failure::Damaged(format!("{name}: {e}")))?;
    Ok(ObjectKey::new(kind, &name))
}

/// SQLite's integers are signed; only the bits count here.
fn u64_at(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}
