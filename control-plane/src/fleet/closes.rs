//! What one proxy is still to be told once: to end what is in flight to backends that drain.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use weir_proto::v1::Close;

/// Backends that wait to be told of. A proxy that takes nothing for so long is told again, or its stream ends.
const MOST_WAITING: usize = 1_000;

/// Of one stream.
#[derive(Debug, Default)]
pub(crate) struct Closes {
    waiting: Mutex<VecDeque<Close>>,
    told: Notify,
}

impl Closes {
    /// Has it sent, in the place of what was to be sent of the same backend.
    pub(super) fn tell(&self, close: Close) {
        let mut waiting = self.lock();
        waiting.retain(|other| other.backend != close.backend);
        if waiting.len() == MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(close);
        drop(waiting);
        self.told.notify_one();
    }

    /// The next one to send.
    pub(crate) fn next(&self) -> Option<Close> {
        self.lock().pop_front()
    }

    /// Returns when there was something to tell since the last time. Only one may wait.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }

    /// Every change is complete in itself.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Close>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(backend: usize) -> Close {
        Close { backend: format!("web/{backend}"), over: None }
    }

    #[tokio::test]
    async fn each_backend_is_told_of_once_and_only_so_many_wait() {
        let closes = Closes::default();
        for backend in [1, 2, 1] {
            closes.tell(close(backend));
        }
        closes.told().await;
        let told: Vec<_> = std::iter::from_fn(|| closes.next()).collect();
        assert_eq!(told, [close(2), close(1)]);
        (0..=MOST_WAITING).for_each(|backend| closes.tell(close(backend)));
        assert_eq!(std::iter::from_fn(|| closes.next()).count(), MOST_WAITING);
    }
}
