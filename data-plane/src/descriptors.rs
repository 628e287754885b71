//! What the process does with the descriptors that it may have.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Of the descriptors, the part that idle connections to backends may take.
const IDLE_SHARE: usize = 4;

/// Descriptors for everything but connections: sockets that listen, runtimes, files, the stream to the control plane.
const OWN: usize = 32;

/// What the process may have if the system does not say.
const UNKNOWN: usize = 1024;

/// Connections to backends that may idle at each of `workers` workers, at least 1.
pub(crate) fn idle_limit(workers: usize) -> usize {
    (open_files() / IDLE_SHARE / workers.max(1)).max(1)
}

/// The soft limit of this process.
pub(crate) fn open_files() -> usize {
    parse(&fs::read_to_string("/proc/self/limits").unwrap_or_default()).unwrap_or(UNKNOWN)
}

/// `limits` as in proc(5).
fn parse(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
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
    fn the_soft_limit_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max open files            4096                 1048576              files\n";
        assert_eq!(parse(limits), Some(4096));
        assert_eq!(parse(""), None);
        assert!(idle_limit(1_000_000_000) >= 1);
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
