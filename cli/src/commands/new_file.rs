//! A file that is there as a whole or not at all.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::Error;

/// A file that is being written, beside the place where it will be. Without [`NewFile::finish`] it goes again.
pub(super) struct NewFile {
    path: PathBuf,
    file: NamedTempFile,
    force: bool,
    bytes: u64,
}

impl NewFile {
    /// Begins one that is to be `path`; only its owner may read it. With `force` in place of an older one.
    pub(super) fn create(path: &Path, force: bool) -> Result<Self, Error> {
        let mut builder = tempfile::Builder::new();
        let name = path
            .file_name()
            .ok_or_else(|| Error::Usage(format!("{} is no name of a file; add one", path.display())))?;
        // Said before the work, and decided at its end: somebody may make one meanwhile.
        if !force && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        builder.prefix(name).suffix(".tmp");
        let file = builder.tempfile_in(directory(path)).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.to_owned(), file, force, bytes: 0 })
    }

    /// Adds to it.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        self.file.write_all(data).map_err(|e| failed(&self.path, &e))?;
        self.bytes += data.len() as u64;
        Ok(())
    }

    /// Puts it in its place, and answers how long it is. It is durable then.
    pub(super) fn finish(self) -> Result<u64, Error> {
        let Self { path, file, force, bytes } = self;
        let synced = || {
            file.as_file().sync_all()?;
            let placed = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
            placed.map_err(|e| e.error)?;
            File::open(directory(&path))?.sync_all()
        };
        synced().map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => exists(&path),
            _ => failed(&path, &e),
        })?;
        Ok(bytes)
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn exists(path: &Path) -> Error {
    Error::Conflict(format!("{} exists already; name another file, or say --force", path.display()))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot write {}: {}", path.display(), crate::error::reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory");
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.backup");
        std::fs::write(&path, "old").expect("a file");
        let mut given_up = NewFile::create(&path, true).expect("begins");
        given_up.write(b"half").expect("writes");
        drop(given_up);
        assert_eq!(std::fs::read(&path).expect("a file"), b"old");
        let mut whole = NewFile::create(&path, true).expect("begins");
        whole.write(b"new ").expect("writes");
        whole.write(b"one").expect("writes");
        assert_eq!(whole.finish().expect("ends"), 7);
        assert_eq!(std::fs::read(&path).expect("a file"), b"new one");
        assert_eq!(names(directory.path()), ["a.backup"]);
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten_unawares() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.backup");
        let mut late = NewFile::create(&path, false).expect("begins");
        late.write(b"new").expect("writes");
        std::fs::write(&path, "old").expect("a file");
        for refused in [NewFile::create(&path, false).map(drop), late.finish().map(drop)] {
            let refused = refused.expect_err("there is one");
            assert_eq!(refused.exit(), crate::Exit::Conflict);
            assert!(
                refused.to_string().ends_with("exists already; name another file, or say --force"),
                "{refused}"
            );
        }
        assert_eq!(std::fs::read(&path).expect("a file"), b"old");
        assert_eq!(names(directory.path()), ["a.backup"]);
    }

    #[test]
    fn where_nothing_can_be_written_is_told() {
        let failed = NewFile::create(Path::new("/nowhere/a.backup"), false).err().expect("fails");
        assert!(failed.to_string().starts_with("cannot write /nowhere/a.backup: no such file"), "{failed}");
        let failed = NewFile::create(Path::new(".."), false).err().expect("fails");
        assert_eq!(failed.exit(), crate::Exit::Usage);
    }
}
