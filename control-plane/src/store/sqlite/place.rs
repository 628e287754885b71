//! Putting a new file in the place of a store, so that one of the two is there whatever happens.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Lock,
    lock::{ACKNOWLEDGED, beside},
    name,
};
use crate::error::Error;

/// Where a store is or will be, locked.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    fresh: PathBuf,
    _lock: Lock,
}

impl Place {
    /// Locks the store at `path`. An error if a control plane has it, or if there is one and it may not be replaced.
    pub(crate) fn new(path: &Path, replace: bool) -> Result<Self, Error> {
        let dir = path.parent().unwrap_or(Path::new("."));
        if !replace && is_there(path) {
            let reason = format!(
                "there is a store at {} already; give --force to move it aside, or choose another directory",
                path.display()
            );
            return Err(Error::Restore { reason });
        }
        crate::serve::make(dir).map_err(|e| failed("make the directory", dir, &e))?;
        let place = Self {
            path: path.to_owned(),
            fresh: beside(path, ".restoring"),
            _lock: Lock::take(path, &name(path))?,
        };
        place.clear();
        Ok(place)
    }

    /// Where the new file is to be made. What was left there by an earlier try is gone.
    pub(crate) fn fresh(&self) -> &Path {
        &self.fresh
    }

    /// Removes what was made.
    pub(crate) fn clear(&self) {
        for suffix in ["", "-wal", "-shm", "-journal", ".lock", ".probe", ACKNOWLEDGED] {
            // Most of them are not there.
            let _ = fs::remove_file(beside(&self.fresh, suffix));
        }
    }

    /// Puts the new file, which must be closed, in the place of the store; answers where that is now. All is on the disk
    /// when this returns.
    pub(crate) fn replace(self) -> Result<Option<PathBuf>, Error> {
        let Self { path, fresh, .. } = &self;
        let sync = |path: &Path| fs::File::open(path).and_then(|file| file.sync_all());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(fresh).map_err(|e| failed("write", fresh, &e))?;
        let (log, acknowledged) = (beside(path, "-wal"), beside(path, ACKNOWLEDGED));
        let aside = is_there(path).then(|| aside(path));
        if let Some(aside) = &aside {
            // The log first, and by a second name: a store must not be found without its log, nor a log that belongs to
            // another store, nor may a log be lost that is alone for a moment.
            for (file, suffix) in [(&log, "-wal"), (&acknowledged, ACKNOWLEDGED)] {
                if !file.exists() {
                    continue;
                }
                let kept = beside(aside, suffix);
                fs::hard_link(file, &kept)
                    .or_else(|_| fs::copy(file, &kept).map(drop))
                    .map_err(|e| failed("move aside", file, &e))?;
                sync(dir).map_err(|e| failed("write", dir, &e))?;
            }
            if path.exists() {
                fs::rename(path, aside).map_err(|e| failed("move aside", path, &e))?;
            }
            if log.exists() {
                fs::remove_file(&log).map_err(|e| failed("move aside", &log, &e))?;
            }
        }
        // Before the store: one that is missing is refused for as long as something says that it was there.
        let fresh_acknowledged = beside(fresh, ACKNOWLEDGED);
        let renamed = match fs::rename(&fresh_acknowledged, &acknowledged) {
            // There was no room for it. The old one says nothing of the new store.
            Err(e) if e.kind() == io::ErrorKind::NotFound => match fs::remove_file(&acknowledged) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            renamed => renamed,
        };
        renamed.map_err(|e| failed("move into its place", &fresh_acknowledged, &e))?;
        sync(dir).map_err(|e| failed("write", dir, &e))?;
        fs::rename(fresh, path).map_err(|e| failed("move into its place", fresh, &e))?;
        self.clear();
        sync(dir).map_err(|e| failed("write", dir, &e))?;
        Ok(aside)
    }
}

fn is_there(path: &Path) -> bool {
    path.exists() || beside(path, "-wal").exists()
}

/// A name that nothing has yet.
fn aside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut number = now;
    loop {
        let name = beside(path, &format!(".before-restore-{number}"));
        if !is_there(&name) {
            return name;
        }
        number += 1;
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Restore {
        reason: format!(
            "cannot {what} {}: {error}; what was there before has its name still, or one that ends in \
             .before-restore-TIME",
            path.display()
        ),
    }
}
