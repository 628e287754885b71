//! What shows that a file is not what it was.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

/// A file as the system describes it, links followed: another target, a file renamed over it and one written in place all
/// show. None if it is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Option<Identity>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also changes with permissions, and with a time of modification that is set by hand.
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of_all(files: &[PathBuf]) -> Vec<Self> {
        let identity = |file| {
            let metadata = fs::metadata(file).ok()?;
            Some(Identity {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            })
        };
        files.iter().map(|file| Self(identity(file))).collect()
    }
}
