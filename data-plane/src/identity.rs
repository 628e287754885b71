//! Who this proxy is: a name that survives restarts, and the directory that keeps it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use weir_proto::ProxyId;

use crate::{Config, Error, last_good};

const ID_FILE: &str = "proxy-id";
const LOCK_FILE: &str = "lock";

/// The directory that keeps what survives a restart, held by this process alone until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Two proxies in one directory would share a name, and so end each other's stream for ever.
    _lock: File,
    /// Why nothing can be written to it.
    unwritable: Option<String>,
}

impl DataDir {
    /// Creates the directory if it is missing, and takes it. One that cannot be written is as good, if there is a copy of
    /// the configuration to serve from: that a disk has become read-only, or is full, is no reason to serve nothing.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DataDir { path: path.to_owned(), source };
        let made = fs::create_dir_all(path).and_then(|()| File::create(path.join(LOCK_FILE)));
        let (lock, unwritable) = match made {
            Ok(lock) => (lock, None),
            Err(e) if is_unwritable(&e) && last_good::is_readable(path) => {
                // A lock needs no writing; where there is no file for it, the directory itself is one.
                let lock = File::open(path.join(LOCK_FILE)).or_else(|_| File::open(path)).map_err(failed)?;
                (lock, Some(e.to_string()))
            }
            Err(e) => return Err(failed(e)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock, unwritable }),
            Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Why nothing can be written to it, as it was at the start.
    pub(crate) fn unwritable(&self) -> Option<&str> {
        self.unwritable.as_deref()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The name that is set, else the one that the directory keeps, else a new one, which the directory then keeps.
pub(crate) fn identify(config: &Config, dir: Option<&DataDir>) -> Result<ProxyId, Error> {
    if let Some(id) = &config.id {
        return ProxyId::try_from(id.as_str()).map_err(|e| Error::Setting { name: "--id", reason: e.reason });
    }
    let Some(dir) = dir else { return Ok(fresh()) };
    let file = dir.path.join(ID_FILE);
    match fs::read_to_string(&file) {
        Ok(text) => {
            ProxyId::try_from(text.trim_end()).map_err(|e| Error::IdFile { path: file, reason: e.reason })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let id = fresh();
            match (write_name(&file, &id), dir.unwritable()) {
                (Ok(()), _) => Ok(id),
                (Err(e), Some(_)) => {
                    tracing::warn!(
                        "this proxy's name does not survive a restart: cannot write {}: {e}",
                        file.display()
                    );
                    Ok(id)
                }
                (Err(source), None) => Err(Error::DataDir { path: dir.path.clone(), source }),
            }
        }
        Err(source) => Err(Error::DataDir { path: dir.path.clone(), source }),
    }
}

/// Whole or not at all: a name that was cut short would keep the next start from happening.
fn write_name(file: &Path, id: &ProxyId) -> io::Result<()> {
    let new = file.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        writeln!(file, "{id}")?;
        file.sync_all()
    };
    let written = write().and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn is_unwritable(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// The host's name, as far as a name may have its characters, and a random suffix.
fn fresh() -> ProxyId {
    const LONGEST_HOST: usize = 63;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .take(LONGEST_HOST)
        .collect();
    let host = if host.is_empty() { "proxy" } else { &host };
    let name = format!("{host}-{:08x}", fastrand::u32(..));
    ProxyId::try_from(name.as_str()).unwrap_or_else(|e| unreachable!("made of allowed characters: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_survives_as_long_as_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let config = Config::default();
        let dir = DataDir::open(temp.path()).unwrap();
        let first = identify(&config, Some(&dir)).unwrap();
        assert_eq!(identify(&config, Some(&dir)).unwrap(), first);
        assert_ne!(identify(&config, None).unwrap(), first);
    }

    #[test]
    fn a_name_that_is_set_wins_and_must_be_valid() {
        let named = |id: &str| identify(&Config { id: Some(id.into()), ..Config::default() }, None);
        assert_eq!(named("edge-1").unwrap().as_str(), "edge-1");
        let text = named("edge 1").unwrap_err().to_string();
        assert!(text.starts_with("--id: may consist of letters"), "{text}");
    }

    #[test]
    fn a_directory_serves_one_proxy_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let first = DataDir::open(temp.path()).unwrap();
        let text = DataDir::open(temp.path()).unwrap_err().to_string();
        assert!(text.contains("used by another proxy"), "{text}");
        drop(first);
        DataDir::open(temp.path()).unwrap();
    }

    #[test]
    fn a_name_that_finds_no_room_leaves_nothing_behind() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let new = temp.path().join("proxy-id.new");
        std::os::unix::fs::symlink("/dev/full", &new).unwrap();
        let text = identify(&Config::default(), Some(&dir)).unwrap_err().to_string();
        assert!(text.contains("No space left"), "{text}");
        assert!(fs::symlink_metadata(&new).is_err() && !temp.path().join(ID_FILE).exists());
        identify(&Config::default(), Some(&dir)).unwrap();
    }

    #[test]
    fn an_empty_name_file_is_refused_with_its_path() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        fs::write(temp.path().join(ID_FILE), "\n").unwrap();
        let text = identify(&Config::default(), Some(&dir)).unwrap_err().to_string();
        assert!(text.contains("proxy-id"), "{text}");
    }
}
