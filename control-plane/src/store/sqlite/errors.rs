//! What SQLite's refusals mean for us: room, rights, damage, or a disk that can no longer be trusted.

use std::io;

use rusqlite::{ErrorCode, ffi};

use crate::error::Error;

/// Why a file could not be used.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// The content cannot be what was written.
    Damaged(String),
    /// Something that was acknowledged is not there.
    Incomplete(String),
    /// We may read it but not write.
    Unwritable,
    /// The content is somebody else's, or of another version.
    Format(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    /// The error when opening or loading.
    pub(super) fn opening(self, store: &str) -> Error {
        let store = store.to_owned();
        match self {
            Self::Damaged(reason) => Error::StoreCorrupt { store, reason },
            Self::Incomplete(reason) => Error::StoreIncomplete { store, reason },
            Self::Format(reason) => Error::StoreFormat { store, reason },
            Self::Unwritable => {
                Error::StoreReadOnly { store, reason: "the file may not be written".to_owned() }
            }
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => {
                    Error::StoreCorrupt { store, reason: error.to_string() }
                }
                Some(ErrorCode::DiskFull) => Error::StoreFull { store, reason: error.to_string() },
                Some(ErrorCode::ReadOnly) => Error::StoreReadOnly { store, reason: error.to_string() },
                Some(_) => {
                    let reason =
                        format!("{error}; check that the file and its directory can be read and written");
                    Error::StoreUnusable { store, reason }
                }
            },
        }
    }
}

/// The error when committing. What is not known to have changed nothing is fatal.
///
/// SQLite does not tell why a write failed, except for want of room. A write that failed changed nothing, so `write` is
/// asked to find out whether writing will work again once somebody has done something about it.
pub(super) fn committing(
    error: &rusqlite::Error,
    store: &str,
    write: impl FnOnce() -> io::Result<()>,
) -> Error {
    let store = store.to_owned();
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => return Error::StoreFull { store, reason },
        Some(ErrorCode::ReadOnly) => return Error::StoreReadOnly { store, reason },
        _ => {}
    }
    if code == ffi::SQLITE_IOERR_WRITE
        && let Err(cause) = write()
    {
        let reason = cause.to_string();
        match cause.kind() {
            io::ErrorKind::ReadOnlyFilesystem => return Error::StoreReadOnly { store, reason },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                return Error::StoreFull { store, reason };
            }
            _ => {}
        }
    }
    Error::StoreFailed { store, reason: format!("{reason} (SQLite's code {code})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    fn failed(code: i32, cause: io::ErrorKind) -> Error {
        committing(&failure(code), "sqlite:x", || Err(cause.into()))
    }

    #[test]
    fn a_write_that_was_refused_is_fatal_only_if_nobody_knows_why() {
        use io::ErrorKind::{Other, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let write = |cause| failed(ffi::SQLITE_IOERR_WRITE, cause);
        assert!(matches!(write(ReadOnlyFilesystem), Error::StoreReadOnly { .. }));
        assert!(matches!(write(StorageFull), Error::StoreFull { .. }));
        assert!(matches!(write(QuotaExceeded), Error::StoreFull { .. }));
        assert!(write(Other).is_fatal());
        assert!(committing(&failure(ffi::SQLITE_IOERR_WRITE), "sqlite:x", || Ok(())).is_fatal());
    }

    #[test]
    fn a_sync_that_failed_is_fatal_whatever_the_disk_says_now() {
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_READ, ffi::SQLITE_CORRUPT] {
            assert!(failed(code, io::ErrorKind::ReadOnlyFilesystem).is_fatal());
        }
    }
}
