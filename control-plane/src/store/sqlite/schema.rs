//! How the file looks inside, and what is refused as not being one of ours.

use rusqlite::{Connection, TransactionBehavior};

use super::{Failure, fresh};

/// `Weir` in ASCII: marks the file as one of ours.
const APPLICATION: i32 = 0x5765_6972;

/// Grows with every change of the schema.
const FORMAT: i32 = 2;

/// The name of an object is unique within its kind; revisions, digests and epochs are unsigned, stored as their bits.
const SCHEMA: &str = "
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL,
        epoch_accepted INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        digest INTEGER NOT NULL,
        floor INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE object (
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        body BLOB NOT NULL,
        level INTEGER NOT NULL,
        meta BLOB NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tombstone (
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tombstone_by_revision ON tombstone (revision);
";

/// What format 2 has more than format 1. Of each kind, automatic or not, the oldest revisions are forgotten first; what
/// they changed is forgotten by revision and looked for by object.
const JOURNAL: &str = "
    ALTER TABLE head ADD COLUMN history_floor INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE revision (
        automatic INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        info BLOB NOT NULL,
        PRIMARY KEY (automatic, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE before (
        revision INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        body BLOB,
        level INTEGER NOT NULL,
        meta BLOB NOT NULL,
        PRIMARY KEY (revision, kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX before_by_object ON before (kind, name, revision);
    CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY,
        record BLOB NOT NULL
    ) STRICT;
    CREATE TABLE proxy (
        id TEXT PRIMARY KEY,
        info BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes a connection fit for use: a new file gets its tables, one of ours is checked, anything else is refused
/// untouched.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Failure> {
    // The file is ours alone: nobody's lock on it makes a commit fail, and the index of the log stays in memory. In a
    // mapped file beside it, a full disk would be an I/O error like any other, or a fault that ends the process.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // No commit depends on room in another directory.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let application = pragma(connection, "application_id")?;
    let format = pragma(connection, "user_version")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = tables == 0 && application == 0 && format == 0;
    if !is_new && application != APPLICATION {
        return Err(Failure::Format("it is a database of another program; name another file".to_owned()));
    }
    if !is_new && !(1..=FORMAT).contains(&format) {
        return Err(Failure::Format(format!(
            "it has format {format}, and this version knows none after {FORMAT}; start the version that wrote it"
        )));
    }
    if connection.is_readonly("main")? {
        return Err(Failure::Unwritable);
    }
    if is_new {
        // Room that is not needed any more can be given back piece by piece. That must be said before anything is
        // written.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    // A commit is on the disk when it returns: the log is synced with each.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if is_new {
        return create(connection);
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Failure::Damaged(verdict));
    }
    if format < FORMAT { migrate(connection) } else { Ok(()) }
}

fn create(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(JOURNAL)?;
    transaction.execute(
        "INSERT INTO head (id, epoch, epoch_accepted, revision, digest, floor) VALUES (1, ?1, 0, 0, 0, 0)",
        [fresh().position.epoch.0.cast_signed()],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(transaction.commit()?)
}

/// From format 1: the history begins with what is there.
fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(JOURNAL)?;
    transaction.execute("UPDATE head SET history_floor = revision", [])?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    Ok(transaction.commit()?)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
