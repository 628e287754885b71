//! Who this proxy is: a name that survives restarts, and the directory that keeps it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use weir_proto::ProxyId;

use crate::{Config, Error};

const ID_FILE: &str = "proxy-id";
const LOCK_FILE: &str = "lock";

/// The directory that keeps what survives a restart, held by this process alone until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Two proxies in one directory would share a name, and so end each other's stream for ever.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is missing, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DataDir { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
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
            let write = || {
                let mut file = File::create_new(&file)?;
                writeln!(file, "{id}")?;
                file.sync_all()
            };
            write().map_err(|source| Error::DataDir { path: dir.path.clone(), source })?;
            Ok(id)
        }
        Err(source) => Err(Error::DataDir { path: dir.path.clone(), source }),
    }
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
    fn an_empty_name_file_is_refused_with_its_path() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        fs::write(temp.path().join(ID_FILE), "\n").unwrap();
        let text = identify(&Config::default(), Some(&dir)).unwrap_err().to_string();
        assert!(text.contains("proxy-id"), "{text}");
    }
}
