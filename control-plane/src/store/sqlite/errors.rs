//! What SQLite's refusals mean for us: room, rights, damage, or a disk that can no longer be trusted.

use rusqlite::ErrorCode;

use crate::error::Error;

/// Why a file could not be used.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// The content cannot be what was written.
    Damaged(String),
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
pub(super) fn committing(error: &rusqlite::Error, store: &str) -> Error {
    let (store, reason) = (store.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::StoreFull { store, reason },
        Some(ErrorCode::ReadOnly) => Error::StoreReadOnly { store, reason },
        _ => Error::StoreFailed { store, reason },
    }
}
