//! Connections that have asked for nothing yet, the longest silent first: when there is no room, they make it. So clients
//! that say nothing keep nobody out, however many they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The connections of one socket that may be cut.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// The number of the next one.
    next: u64,
    cuts: BTreeMap<u64, CancellationToken>,
}

/// A connection in the list, until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    quiet: Arc<Quiet>,
    number: u64,
}

impl Quiet {
    /// Enters a connection that ends when `cut` is cancelled.
    pub(crate) fn enter(self: &Arc<Self>, cut: CancellationToken) -> Entry {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.cuts.insert(number, cut);
        drop(waiting);
        Entry { quiet: Arc::clone(self), number }
    }

    /// Cuts the one that came first. False if there is none.
    pub(crate) fn cut_longest(&self) -> bool {
        // In a statement of its own: whoever hears of it leaves the list.
        let longest = self.lock().cuts.pop_first();
        longest.is_some_and(|(_, cut)| {
            cut.cancel();
            true
        })
    }

    /// Every change of the list is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.quiet.lock().cuts.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_goes_first_and_who_spoke_never() {
        let quiet = Arc::<Quiet>::default();
        let cuts: Vec<_> = (0..3).map(|_| CancellationToken::new()).collect();
        let mut entries: Vec<_> = cuts.iter().map(|cut| quiet.enter(cut.clone())).collect();
        drop(entries.remove(0));
        assert!(quiet.cut_longest());
        let is_cut = || cuts.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        assert_eq!(is_cut(), [false, true, false]);
        drop(entries);
        assert!(!quiet.cut_longest(), "nobody is silent any more");
    }
}
