//! The last good copy of the configuration on disk: a restarted proxy serves from it without a control plane.

pub(crate) mod format;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    metrics::ConfigMetrics,
    objects::{Objects, State},
};

const FILE: &str = "last-good.bin";
/// At least so long from the end of one write to the next one: under constant change the newest copy is at most this
/// old, and the disk is not busy with nothing else.
const PACE: Duration = Duration::from_secs(1);

/// A configuration that is in force.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    pub(crate) state: State,
    /// The forms in force of those objects whose newest form this proxy refuses.
    pub(crate) previous: Objects,
}

/// Reads the copy that the directory holds, if it holds a good one. A bad one is put aside as `last-good.bad`, with a
/// warning: the proxy then waits for the control plane.
pub(crate) fn load(dir: &Path) -> Option<LastGood> {
    let path = dir.join(FILE);
    let reason = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => e.to_string(),
        Ok(bytes) => match format::decode(&bytes) {
            Ok(copy) => return Some(copy),
            Err(bad) => bad.to_string(),
        },
    };
    let aside = path.with_extension("bad");
    let kept = match fs::rename(&path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(e) => format!("it could not be renamed to {}: {e}", aside.display()),
    };
    tracing::warn!(
        "cannot use the last good configuration {}: {reason}; {kept}; this proxy serves nothing until a control \
         plane answers",
        path.display()
    );
    None
}

/// Keeps the copy on disk up to date, off the path of changes: the latest wins. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Keeper {
    latest: watch::Sender<Option<Arc<LastGood>>>,
    task: AbortOnDropHandle<()>,
}

impl Keeper {
    /// Starts to keep copies in the directory.
    pub(crate) fn start(dir: &Path, metrics: ConfigMetrics) -> Self {
        let (latest, changes) = watch::channel(None);
        let task = tokio::spawn(keep(dir.to_owned(), changes, metrics));
        Self { latest, task: AbortOnDropHandle::new(task) }
    }

    /// This is in force now. Returns at once.
    pub(crate) fn keep(&self, copy: LastGood) {
        self.latest.send_replace(Some(Arc::new(copy)));
    }

    /// Ends when the latest copy is written, or could not be.
    pub(crate) async fn finish(self) {
        drop(self.latest);
        // It fails only if the task panicked, which its own message tells.
        let _ = self.task.await;
    }
}

async fn keep(dir: PathBuf, mut changes: watch::Receiver<Option<Arc<LastGood>>>, metrics: ConfigMetrics) {
    while changes.changed().await.is_ok() {
        let Some(copy) = changes.borrow_and_update().clone() else { continue };
        let to = dir.clone();
        let written = tokio::task::spawn_blocking(move || write(&to, &copy)).await;
        match written.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(()) => metrics.last_good_writes.inc(),
            Err(e) => {
                tracing::error!(
                    "cannot write {}: {e}; after a restart this proxy would serve an older configuration",
                    dir.join(FILE).display()
                );
                metrics.last_good_failures.inc()
            }
        };
        // Unless the keeper is being finished: then the last copy must not wait.
        let mut sender = changes.clone();
        let _ = tokio::time::timeout(PACE, async { while sender.changed().await.is_ok() {} }).await;
    }
}

/// Replaces the file as a whole or not at all, whenever the power fails.
fn write(dir: &Path, copy: &LastGood) -> io::Result<()> {
    let path = dir.join(FILE);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&format::encode(copy))?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use weir_proto::{Epoch, Revision};

    use super::*;
    use crate::{
        objects::Position,
        testing::{insert, service},
    };

    fn copy(revision: u64) -> LastGood {
        let mut objects = Objects::default();
        insert(&mut objects, service(&format!("s{revision}")));
        let position = Position { epoch: Epoch(1), revision: Revision(revision), digest: objects.digest() };
        LastGood { state: State { position, objects }, previous: Objects::default() }
    }

    fn revision(dir: &Path) -> Option<u64> {
        load(dir).map(|copy| copy.state.position.revision.0)
    }

    #[test]
    fn a_missing_copy_is_no_copy() {
        assert!(load(tempfile::tempdir().unwrap().path()).is_none());
    }

    #[test]
    fn a_bad_copy_is_put_aside_and_a_good_one_can_follow() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &copy(1)).unwrap();
        let path = dir.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(revision(dir.path()), None);
        assert!(!path.exists() && path.with_extension("bad").exists());
        write(dir.path(), &copy(2)).unwrap();
        assert_eq!(revision(dir.path()), Some(2));
    }

    #[tokio::test]
    async fn the_latest_copy_is_on_disk_when_the_keeper_has_finished() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = ConfigMetrics::default();
        let keeper = Keeper::start(dir.path(), metrics.clone());
        for n in 1..=100 {
            keeper.keep(copy(n));
            tokio::task::yield_now().await;
        }
        keeper.finish().await;
        assert_eq!(revision(dir.path()), Some(100));
        assert!(metrics.last_good_writes.get() <= 3, "a burst is written as few copies");
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_counted_and_survived() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = ConfigMetrics::default();
        let keeper = Keeper::start(&dir.path().join("gone"), metrics.clone());
        keeper.keep(copy(1));
        keeper.finish().await;
        assert_eq!(metrics.last_good_failures.get(), 1);
    }
}
