//! The tables of what is remembered of changes.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use rusqlite::{Connection, Row, ToSql, params};
use weir_proto::{Digest, ObjectKey, Revision, v1};

use super::{Failure, decode, key, u64_at};
use crate::journal::{Before, Journal, ProxyWrite, Query, Retention, RevisionRecord};

/// How many revisions there are of operators and of automatic ones. Counting them with each commit would take longer
/// than the commit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept([u64; 2]);

impl Kept {
    /// Looks.
    pub(super) fn count(connection: &Connection) -> Result<Self, Failure> {
        let mut query = connection.prepare("SELECT count(*) FROM revision WHERE automatic = ?1")?;
        let mut count = |automatic: bool| query.query_row([automatic], |row| u64_at(row, 0));
        Ok(Self([count(false)?, count(true)?]))
    }
}

/// Adds what is new and forgets what is too much.
pub(super) fn write(connection: &Connection, kept: &mut Kept, journal: &Journal) -> rusqlite::Result<()> {
    for record in &journal.revisions {
        connection
            .prepare_cached("INSERT INTO revision (automatic, revision, info) VALUES (?1, ?2, ?3)")?
            .execute(params![
                record.automatic,
                record.info.revision.cast_signed(),
                record.info.encode_to_vec()
            ])?;
        kept.0[usize::from(record.automatic)] += 1;
        for before in &record.befores {
            add_before(connection, record.revision(), before)?;
        }
    }
    for record in &journal.audit {
        let sequence = (record.sequence != 0).then_some(record.sequence.cast_signed());
        connection
            .prepare_cached("INSERT INTO audit (sequence, record) VALUES (?1, ?2)")?
            .execute(params![sequence, record.encode_to_vec()])?;
    }
    for write in &journal.proxies {
        match write {
            ProxyWrite::Put(info) => connection
                .prepare_cached("INSERT OR REPLACE INTO proxy (id, info) VALUES (?1, ?2)")?
                .execute(params![info.id, info.encode_to_vec()])?,
            ProxyWrite::Remove(_) => {
                connection.prepare_cached("DELETE FROM proxy WHERE id = ?1")?.execute([write.id()])?
            }
        };
    }
    if journal.floor > Revision(0) {
        raise(connection, journal.floor)?;
    }
    trim(connection, kept, journal.keep)
}

/// Forgets what is too much.
pub(super) fn trim(connection: &Connection, kept: &mut Kept, keep: Retention) -> rusqlite::Result<()> {
    for automatic in [false, true] {
        let count = &mut kept.0[usize::from(automatic)];
        let Some(excess) = count.checked_sub(u64::from(keep.revisions)).filter(|n| *n > 0) else { continue };
        let last = connection
            .prepare_cached(
                "SELECT revision FROM revision WHERE automatic = ?1 ORDER BY revision LIMIT 1 OFFSET ?2",
            )?
            .query_row(params![automatic, (excess - 1).cast_signed()], |row| u64_at(row, 0))?;
        let gone = connection
            .prepare_cached("DELETE FROM revision WHERE automatic = ?1 AND revision <= ?2")?
            .execute(params![automatic, last.cast_signed()])?;
        *count = count.saturating_sub(gone as u64);
        if !automatic {
            raise(connection, Revision(last))?;
        }
    }
    connection
        .prepare_cached("DELETE FROM audit WHERE sequence <= (SELECT max(sequence) FROM audit) - ?1")?
        .execute([keep.audit])?;
    Ok(())
}

/// See [`crate::store::Store::revisions`].
pub(super) fn revisions(connection: &Connection, query: &Query) -> Result<Vec<RevisionRecord>, Failure> {
    // Two ranges of the same order, which are merged.
    let chosen = "SELECT automatic, revision, info FROM revision AS r WHERE automatic = ?1 AND revision < ?2";
    let of_object = " AND EXISTS (SELECT 1 FROM before AS b \
                      WHERE b.kind = ?4 AND b.name = ?5 AND b.revision = r.revision)";
    let of_object = if query.object.is_some() { of_object } else { "" };
    let automatic = chosen.replace("?1", "1");
    let automatic =
        if query.automatic { format!(" UNION ALL {automatic}{of_object}") } else { String::new() };
    let text = format!("{chosen}{of_object}{automatic} ORDER BY revision DESC LIMIT ?3");

    let before = query.before.map_or(i64::MAX, |before| before.0.cast_signed());
    let most = i64::try_from(query.most).unwrap_or(i64::MAX);
    let mut values: Vec<&dyn ToSql> = vec![&false, &before, &most];
    let object = query.object.as_ref().map(|key| (key.kind as u8, &*key.name));
    if let Some((kind, name)) = &object {
        values.extend([kind as &dyn ToSql, name]);
    }
    let mut statement = connection.prepare_cached(&text)?;
    let mut rows = statement.query(&values[..])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let (automatic, revision, info) = (row.get(0)?, u64_at(row, 1)?, row.get::<_, Vec<u8>>(2)?);
        let damaged = |e| Failure::Damaged(format!("the record of revision {revision}: {e}"));
        let info = v1::RevisionInfo::decode(info.as_slice()).map_err(damaged)?;
        let befores = if query.befores { befores_of(connection, Revision(revision))? } else { Vec::new() };
        records.push(RevisionRecord { info, automatic, befores });
    }
    Ok(records)
}

/// See [`crate::store::Store::befores`].
pub(super) fn befores(connection: &Connection, since: Revision) -> Result<Vec<Before>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, name, body, level, meta FROM before WHERE revision > ?1 ORDER BY revision",
    )?;
    let mut rows = statement.query([since.0.cast_signed()])?;
    let mut seen = HashSet::new();
    let mut befores = Vec::new();
    while let Some(row) = rows.next()? {
        // What was before the first change since then is how it was then.
        if seen.insert(key(row)?) {
            befores.push(before(row)?);
        }
    }
    Ok(befores)
}

/// See [`crate::store::Store::history_floor`].
pub(super) fn floor(connection: &Connection) -> Result<Revision, Failure> {
    Ok(connection.query_row("SELECT history_floor FROM head", [], |row| u64_at(row, 0)).map(Revision)?)
}

/// See [`crate::store::Store::audit`].
pub(super) fn audit(
    connection: &Connection,
    before: Option<u64>,
    most: usize,
) -> Result<Vec<v1::AuditRecord>, Failure> {
    let before = before.map_or(i64::MAX, u64::cast_signed);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT sequence, record FROM audit WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2",
    )?;
    let mut rows = statement.query([before, most])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let (sequence, record) = (u64_at(row, 0)?, row.get::<_, Vec<u8>>(1)?);
        let damaged = |e| Failure::Damaged(format!("the audit record {sequence}: {e}"));
        let record = v1::AuditRecord::decode(record.as_slice()).map_err(damaged)?;
        records.push(v1::AuditRecord { sequence, ..record });
    }
    Ok(records)
}

/// The digests of the revisions that are kept, the oldest first, as far as they were recorded.
pub(super) fn digests(connection: &Connection) -> Result<Vec<(Revision, Digest)>, Failure> {
    let mut statement = connection.prepare("SELECT revision, info FROM revision ORDER BY revision")?;
    let mut rows = statement.query([])?;
    let mut digests = Vec::new();
    while let Some(row) = rows.next()? {
        let (revision, info) = (u64_at(row, 0)?, row.get::<_, Vec<u8>>(1)?);
        // A record that cannot be read is named when somebody asks for it; it keeps nobody from starting.
        let digest = v1::RevisionInfo::decode(info.as_slice()).ok().and_then(|info| info.digest);
        digests.extend(digest.map(|digest| (Revision(revision), Digest(digest))));
    }
    Ok(digests)
}

/// The proxies that were there.
pub(super) fn proxies(connection: &Connection) -> Result<Vec<v1::ProxyInfo>, Failure> {
    let mut statement = connection.prepare("SELECT id, info FROM proxy ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut proxies = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, info) = (row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?);
        let info = v1::ProxyInfo::decode(info.as_slice());
        proxies.push(info.map_err(|e| Failure::Damaged(format!("proxy {id}: {e}")))?);
    }
    Ok(proxies)
}

fn add_before(connection: &Connection, at: Revision, before: &Before) -> rusqlite::Result<()> {
    let Before { key: ObjectKey { kind, name }, entry } = before;
    let body = entry.as_ref().map(|entry| &entry.object.body[..]);
    let level = entry.as_ref().map_or(0, |entry| entry.object.level);
    let meta = entry.as_ref().map(|entry| entry.meta.encode_to_vec()).unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT INTO before (revision, kind, name, body, level, meta) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![at.0.cast_signed(), *kind as u8, &**name, body, level, meta])?;
    Ok(())
}

fn befores_of(connection: &Connection, revision: Revision) -> Result<Vec<Before>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, name, body, level, meta FROM before WHERE revision = ?1 ORDER BY kind, name",
    )?;
    let mut rows = statement.query([revision.0.cast_signed()])?;
    let mut befores = Vec::new();
    while let Some(row) = rows.next()? {
        befores.push(before(row)?);
    }
    Ok(befores)
}

fn before(row: &Row<'_>) -> Result<Before, Failure> {
    let key = key(row)?;
    let entry = match row.get::<_, Option<Vec<u8>>>(2)? {
        Some(body) => {
            let meta = row.get::<_, Vec<u8>>(4)?;
            Some(Arc::new(decode(&key, body, row.get(3)?, &meta)?))
        }
        None => None,
    };
    Ok(Before { key, entry })
}

/// Nothing is known any more of how things were before `floor`.
fn raise(connection: &Connection, floor: Revision) -> rusqlite::Result<()> {
    let floor = floor.0.cast_signed();
    connection.prepare_cached("DELETE FROM before WHERE revision <= ?1")?.execute([floor])?;
    connection.prepare_cached("UPDATE head SET history_floor = max(history_floor, ?1)")?.execute([floor])?;
    Ok(())
}
