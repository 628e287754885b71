//! The last good copy of the configuration on disk: a restarted proxy serves from it without a control plane.

mod change;
mod file;
pub(crate) mod format;

use std::{
    collections::HashSet,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::file::Copies;
use crate::{
    metrics::ConfigMetrics,
    objects::{Objects, ReceivedKey, State},
};

const FILE: &str = "last-good.bin";
/// At least so long from the end of one write to the next one: under constant change the newest copy is at most this
/// old, and the disk is not busy with nothing else.
const PACE: Duration = Duration::from_secs(1);
/// The interval at which a copy that could not be written is tried again, while nothing newer comes.
const RETRY: Duration = Duration::from_secs(30);

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
            Ok((copy, read)) => {
                if read < bytes.len() {
                    let (at, rest) = (copy.state.position, bytes.len() - read);
                    tracing::info!(
                        "the last {rest} bytes of {} are no whole change: this proxy starts from {at}",
                        path.display()
                    );
                }
                return Some(copy);
            }
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

/// Whether there is a copy that can be read, good or bad.
pub(crate) fn is_readable(dir: &Path) -> bool {
    fs::File::open(dir.join(FILE)).is_ok()
}

/// Keeps the copy on disk up to date, off the path of changes: the latest wins. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Keeper {
    unwritten: Arc<Mutex<Option<Unwritten>>>,
    latest: watch::Sender<()>,
    task: AbortOnDropHandle<()>,
}

/// What is in force and not on disk.
#[derive(Debug)]
struct Unwritten {
    copy: LastGood,
    /// The objects that are new, changed or gone since what is on disk.
    keys: HashSet<ReceivedKey>,
}

impl Keeper {
    /// Starts to keep copies in the directory. `failure` is why what is in force is not there, for as long as that is so.
    pub(crate) fn start(dir: &Path, metrics: ConfigMetrics, failure: watch::Sender<Option<String>>) -> Self {
        let (latest, changes) = watch::channel(());
        let unwritten = Arc::default();
        let task = tokio::spawn(keep(Copies::new(dir), Arc::clone(&unwritten), changes, metrics, failure));
        Self { unwritten, latest, task: AbortOnDropHandle::new(task) }
    }

    /// This is in force now, and differs from what was before it in these objects. Returns at once.
    pub(crate) fn keep(&self, copy: LastGood, keys: Vec<ReceivedKey>) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = unwritten.take().map(|unwritten| unwritten.keys).unwrap_or_default();
        all.extend(keys);
        *unwritten = Some(Unwritten { copy, keys: all });
        drop(unwritten);
        self.latest.send_replace(());
    }

    /// Ends when the latest copy is written, or could not be.
    pub(crate) async fn finish(self) {
        drop(self.latest);
        // It fails only if the task panicked, which its own message tells.
        let _ = self.task.await;
    }
}

async fn keep(
    mut copies: Copies,
    unwritten: Arc<Mutex<Option<Unwritten>>>,
    mut changes: watch::Receiver<()>,
    metrics: ConfigMetrics,
    failure: watch::Sender<Option<String>>,
) {
    loop {
        let fails = failure.borrow().is_some();
        metrics.last_good_failing.set(fails.into());
        tokio::select! {
            news = changes.changed() => if news.is_err() { return },
            () = tokio::time::sleep(RETRY), if fails => {}
        }
        let next = unwritten.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(next) = next else { continue };
        let path = copies.path().display().to_string();
        let write = move || (copies.write(&next.copy, &next.keys), copies, next);
        let Ok((written, back, next)) = tokio::task::spawn_blocking(write).await else {
            tracing::error!("no copy of the configuration is kept any more: writing {path} failed badly");
            metrics.last_good_failures.inc();
            return;
        };
        copies = back;
        match written {
            Ok(()) => {
                metrics.last_good_writes.inc();
                if failure.send_replace(None).is_some() {
                    tracing::info!("the copy {path} is written again");
                }
            }
            Err(e) => {
                metrics.last_good_failures.inc();
                let reason = format!("cannot write {path}: {e}");
                if failure.borrow().as_ref() != Some(&reason) {
                    tracing::error!(
                        "{reason}; after a restart this proxy would serve an older configuration"
                    );
                }
                failure.send_replace(Some(reason));
                // With the next state, or after a while.
                unwritten.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(next);
            }
        }
        // Unless the keeper is being finished: then the last copy must not wait.
        let mut sender = changes.clone();
        let _ = tokio::time::timeout(PACE, async { while sender.changed().await.is_ok() {} }).await;
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::{Epoch, Revision};

    use super::*;
    use crate::{
        objects::Position,
        testing::{insert, service},
    };

    /// One service, and what leads there from the revision before.
    fn copy(revision: u64) -> (LastGood, Vec<ReceivedKey>) {
        let mut objects = Objects::default();
        insert(&mut objects, service(&format!("s{}", revision - 1)));
        let gone = objects.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let mut objects = Objects::default();
        insert(&mut objects, service(&format!("s{revision}")));
        let position = Position { epoch: Epoch(1), revision: Revision(revision), digest: objects.digest() };
        let keys = objects.iter().map(|(key, _)| key.clone()).chain(gone).collect();
        (LastGood { state: State { position, objects }, previous: Objects::default() }, keys)
    }

    fn write(dir: &Path, revision: u64) {
        let (copy, keys) = copy(revision);
        Copies::new(dir).write(&copy, &keys.into_iter().collect()).unwrap();
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
        write(dir.path(), 1);
        let path = dir.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(revision(dir.path()), None);
        assert!(!path.exists() && path.with_extension("bad").exists());
        write(dir.path(), 2);
        assert_eq!(revision(dir.path()), Some(2));
    }

    #[tokio::test]
    async fn the_latest_copy_is_on_disk_when_the_keeper_has_finished() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = ConfigMetrics::default();
        let keeper = Keeper::start(dir.path(), metrics.clone(), watch::Sender::new(None));
        for n in 1..=100 {
            let (copy, keys) = copy(n);
            keeper.keep(copy, keys);
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
        let keeper = Keeper::start(&dir.path().join("gone"), metrics.clone(), watch::Sender::new(None));
        let (copy, keys) = copy(1);
        keeper.keep(copy, keys);
        keeper.finish().await;
        assert_eq!(metrics.last_good_failures.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_told_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("last-good.new");
        let (metrics, failure) = (ConfigMetrics::default(), watch::Sender::new(None));
        let mut told = failure.subscribe();
        let keeper = Keeper::start(dir.path(), metrics.clone(), failure);
        fs::create_dir(&in_the_way).unwrap();
        let (copy, keys) = copy(1);
        keeper.keep(copy, keys);
        let reason = told.wait_for(Option::is_some).await.unwrap().clone().unwrap_or_default();
        assert!(reason.contains("last-good.bin: "), "{reason}");
        tokio::time::sleep(2 * PACE).await;
        assert_eq!((metrics.last_good_failing.get(), metrics.last_good_failures.get()), (1, 1));

        fs::remove_dir(&in_the_way).unwrap();
        tokio::time::timeout(2 * RETRY, told.wait_for(Option::is_none))
            .await
            .expect("it is tried again")
            .unwrap();
        assert_eq!((revision(dir.path()), metrics.last_good_writes.get()), (Some(1), 1));
        keeper.finish().await;
        assert_eq!(metrics.last_good_failing.get(), 0);
    }
}
