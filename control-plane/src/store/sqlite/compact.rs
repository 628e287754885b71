//! Giving room back to the disk.

use std::{fs, io, path::Path};

use rusqlite::{Connection, TransactionBehavior};

use super::{
    journal::{self, Kept},
    lock::beside,
};
use crate::journal::{Compacted, Retention};

/// Pages that are given back at once: so the log, which takes them first, stays small.
const PAGES_AT_ONCE: u32 = 1_000;

/// `PRAGMA auto_vacuum` of a file whose pages can be given back piece by piece.
const INCREMENTAL: i32 = 2;

/// Forgets all but `keep`, and makes the file as small as it can be.
///
/// Pages are moved within the file, by transactions like any other: without room for that, all is as it was. A file
/// that an older version made is written anew, once: that takes as much room as it has.
pub(super) fn compact(
    connection: &mut Connection,
    path: &Path,
    kept: &mut Kept,
    keep: Retention,
) -> rusqlite::Result<Compacted> {
    let bytes_before = size(path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut left = *kept;
    journal::trim(&transaction, &mut left, keep)?;
    transaction.commit()?;
    *kept = left;
    checkpoint(connection)?;
    let vacuum: i32 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if vacuum == INCREMENTAL {
        let free = |connection: &Connection| -> rusqlite::Result<i64> {
            connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
        };
        let mut left = free(connection)?;
        while left > 0 {
            connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
            checkpoint(connection)?;
            let now = free(connection)?;
            // Whatever keeps a page from going, this ends.
            if now >= left {
                break;
            }
            left = now;
        }
    } else {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.execute_batch("VACUUM")?;
        checkpoint(connection)?;
    }
    let floor = connection.query_row("SELECT history_floor FROM head", [], |row| super::u64_at(row, 0))?;
    Ok(Compacted { bytes_before, bytes_after: size(path), floor: weir_proto::Revision(floor) })
}

/// Moves the log into the file and empties it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The bytes of the file and its log.
fn size(path: &Path) -> u64 {
    let of = |path: &Path| -> io::Result<u64> { Ok(fs::metadata(path)?.len()) };
    of(path).unwrap_or(0) + of(&beside(path, "-wal")).unwrap_or(0)
}
