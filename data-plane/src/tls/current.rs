//! What was made of files last, and whether they have changed since.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use weir_proto::Invalid;

use super::{pair::Presented, stamp::Stamp};

/// A configuration that stays until a better one can be made.
#[derive(Debug)]
pub(super) struct Current<C> {
    config: ArcSwap<C>,
    files: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

/// What files gave.
#[derive(Debug)]
pub(super) struct Made<C> {
    pub(super) config: C,
    pub(super) certificates: Vec<Presented>,
}

/// What looking at the files again has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// They are as they were, or may be in the middle of a change.
    Unchanged,
    /// They have changed, and what they say is in force; what they said before was not, if `mended`.
    Renewed { mended: bool },
    /// They have changed, and cannot be used: what they said before stays. Told once for each change.
    Failed(Invalid),
}

#[derive(Debug)]
struct Seen {
    stamps: Vec<Stamp>,
    certificates: Arc<[Presented]>,
    /// They could not be used when they were last looked at, for the first time: a pair is seldom replaced both at once.
    doubtful: bool,
    /// They could not be used the second time either.
    failure: Option<Invalid>,
}

impl<C> Current<C> {
    pub(super) fn load(
        files: Vec<PathBuf>,
        make: impl FnOnce() -> Result<Made<C>, Invalid>,
    ) -> Result<Self, Invalid> {
        // Before they are read: a change in between shows the next time.
        let stamps = Stamp::of_all(&files);
        let Made { config, certificates } = make()?;
        tell(&certificates);
        let certificates = certificates.into();
        let seen = Seen { stamps, certificates, doubtful: false, failure: None };
        Ok(Self { config: ArcSwap::from_pointee(config), files, seen: Mutex::new(seen) })
    }

    pub(super) fn config(&self) -> Arc<C> {
        self.config.load_full()
    }

    pub(super) fn certificates(&self) -> Arc<[Presented]> {
        Arc::clone(&self.seen().certificates)
    }

    /// Why what is in force is not what the files say.
    pub(super) fn failure(&self) -> Option<Invalid> {
        self.seen().failure.clone()
    }

    /// Looks at the files, and makes a configuration of them if they have changed. `make` is given the one before.
    pub(super) fn renew(&self, make: impl FnOnce(&C) -> Result<Made<C>, Invalid>) -> Renewal {
        let stamps = Stamp::of_all(&self.files);
        let mut seen = self.seen();
        let changed = seen.stamps != stamps;
        if !changed && !seen.doubtful {
            return Renewal::Unchanged;
        }
        seen.stamps = stamps;
        match make(&self.config.load()) {
            Ok(Made { config, certificates }) => {
                self.config.store(Arc::new(config));
                tell(&certificates);
                seen.certificates = certificates.into();
                seen.doubtful = false;
                Renewal::Renewed { mended: seen.failure.take().is_some() }
            }
            Err(_) if changed => {
                seen.doubtful = true;
                Renewal::Unchanged
            }
            Err(invalid) => {
                seen.doubtful = false;
                seen.failure = Some(invalid.clone());
                Renewal::Failed(invalid)
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(certificates: &[Presented]) {
    let now = Timestamp::now();
    for certificate in certificates {
        certificate.warn(now);
    }
}
