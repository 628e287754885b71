//! What the process does with the descriptors that it may have.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the descriptors, the part that idle connections to backends may take.
const IDLE_SHARE: usize = 4;

/// Descriptors for everything but connections: sockets that listen, runtimes, files, the stream to the control plane.
const OWN: usize = 32;

/// Connections to backends that may idle at each of `workers` workers, at least 1.
pub(crate) fn idle_limit(workers: usize) -> usize {
    (open_files() / IDLE_SHARE / workers.max(1)).max(1)
}

/// Takes all that the system lets the process have: the soft limit of a shell or a service manager is often 1,024, which
/// is there for programs that use select(2).
pub(crate) fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!("cannot raise the limit of open files to {maximum:?}: {e}; it stays {}", open_files());
    }
}

/// What the process may have open at one time.
pub(crate) fn open_files() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Room for clients, at all workers together: as many as can each have a connection to a backend at the same time.
/// If they took every descriptor, those that are served could not be served any more.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    taken: AtomicUsize,
}

/// One client's, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Room>);

impl Room {
    pub(crate) fn within(descriptors: usize) -> Self {
        Self { most: (descriptors.saturating_sub(OWN) / 2).max(1), taken: AtomicUsize::new(0) }
    }

    /// How many clients there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    pub(crate) fn is_full(&self) -> bool {
        self.taken.load(Relaxed) >= self.most
    }

    /// For a client that has been accepted, also beyond the limit: workers do not wait for each other.
    pub(crate) fn take(self: &Arc<Self>) -> Taken {
        self.taken.fetch_add(1, Relaxed);
        Taken(Arc::clone(self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert!(idle_limit(usize::MAX) >= 1);
    }

    #[test]
    fn clients_leave_as_much_for_backends() {
        let room = Arc::new(Room::within(OWN + 4));
        let first = room.take();
        assert!(!room.is_full());
        let _second = room.take();
        assert!(room.is_full());
        drop(first);
        assert!(!room.is_full());
        assert_eq!((Room::within(0).most(), Room::within(usize::MAX).most() > 1_000_000), (1, true));
    }
}
