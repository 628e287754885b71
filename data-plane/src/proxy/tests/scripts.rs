//! Backends that the tests of retries, limits and copies have in common.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Semaphore;

use super::harness::Backend;

impl Backend {
    /// Answers every request with the same bytes.
    pub(super) async fn saying(bytes: impl Into<String>) -> Self {
        let bytes: Arc<str> = bytes.into().into();
        Self::scripted(move |mut served| {
            let bytes = Arc::clone(&bytes);
            async move {
                while served.message().await.is_some() {
                    served.send(&bytes).await;
                }
            }
        })
        .await
    }

    /// Answers every request with its body.
    pub(super) async fn echo() -> Self {
        Self::scripted(|mut served| async move {
            while let Some((_, body)) = served.message().await {
                served.answer(&body).await;
            }
        })
        .await
    }

    /// Ends every connection when a request's head has come.
    pub(super) async fn resetting() -> Self {
        Self::scripted(|mut served| async move {
            served.head().await;
        })
        .await
    }

    /// Answers nothing, and waits for the end of every connection.
    pub(super) async fn silent() -> Self {
        Self::scripted(|mut served| async move {
            served.head().await;
            served.rest().await;
        })
        .await
    }
}

/// Requests that are at backends, which answer one for each permit.
pub(super) struct Hold {
    now: AtomicUsize,
    most: AtomicUsize,
    permits: Semaphore,
}

impl Hold {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { now: AtomicUsize::new(0), most: AtomicUsize::new(0), permits: Semaphore::new(0) })
    }

    /// A backend whose requests are counted here, by itself or with those of others.
    pub(super) async fn backend(self: &Arc<Self>) -> Backend {
        let hold = Arc::clone(self);
        Backend::scripted(move |mut served| {
            let hold = Arc::clone(&hold);
            async move {
                while served.message().await.is_some() {
                    hold.pass().await;
                    served.answer("held").await;
                }
            }
        })
        .await
    }

    /// Is here until it is released.
    pub(super) async fn pass(&self) {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        self.permits.acquire().await.unwrap().forget();
        // Before the answer: whoever gets it may ask again at once.
        self.now.fetch_sub(1, SeqCst);
    }

    /// How many are here.
    pub(super) fn now(&self) -> usize {
        self.now.load(SeqCst)
    }

    /// How many were here at one time.
    pub(super) fn most(&self) -> usize {
        self.most.load(SeqCst)
    }

    /// Lets so many go.
    pub(super) fn release(&self, n: usize) {
        self.permits.add_permits(n);
    }
}
