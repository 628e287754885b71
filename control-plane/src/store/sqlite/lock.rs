//! One process for one store: a lock on a file beside it, held for as long as the store is open.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use crate::error::Error;

/// The end of the name of the file that says what was acknowledged.
pub(super) const ACKNOWLEDGED: &str = ".acknowledged";

/// Released by being dropped, and by the system when the process ends in whatever way. The file stays; it is the lock
/// on it that counts.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the store at `path`.
    pub(super) fn take(path: &Path, store: &str) -> Result<Self, Error> {
        let lock = beside(path, ".lock");
        let unusable = |what: &str, e: std::io::Error| Error::StoreUnusable {
            store: store.to_owned(),
            reason: format!(
                "cannot {what} {}: {e}; check that the directory exists and can be written",
                lock.display()
            ),
        };
        let file = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = file.map_err(|e| unusable("create", e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::StoreInUse { store: store.to_owned(), lock }),
            Err(TryLockError::Error(e)) => Err(unusable("lock", e)),
        }
    }
}

/// The file beside `path` with this at the end of its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
