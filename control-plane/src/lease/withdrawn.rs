//! The leases whose backends an operator took out while their agents lived on. An agent whose lease is unknown registers
//! its backend again; one that is told this does not, and the backend stays away.
//!
//! In memory only: a control plane that was started again has forgotten it, and such a lease is unknown to it.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::LeaseId;

/// A lease is forgotten when nobody has sent a heartbeat for it for so long.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);
/// So many are remembered. One more, and the one that was heard of longest ago is forgotten.
const MOST: usize = 100_000;

/// Leases of backends that an operator took out.
#[derive(Debug)]
pub(super) struct Withdrawn {
    heard: HashMap<LeaseId, Instant>,
    /// The same, those heard of longest ago first.
    oldest: BTreeSet<(Instant, LeaseId)>,
    most: usize,
}

impl Default for Withdrawn {
    fn default() -> Self {
        Self { heard: HashMap::new(), oldest: BTreeSet::new(), most: MOST }
    }
}

impl Withdrawn {
    /// Remembers a lease.
    pub(super) fn add(&mut self, id: LeaseId, now: Instant) {
        self.forget(now);
        if let Some(before) = self.heard.insert(id, now) {
            self.oldest.remove(&(before, id));
        }
        self.oldest.insert((now, id));
        if self.heard.len() > self.most {
            self.forget_oldest();
        }
    }

    /// A heartbeat came for a lease. Answers whether it is one of these, and remembers it for longer then.
    pub(super) fn hears(&mut self, id: LeaseId, now: Instant) -> bool {
        self.forget(now);
        let Some(last) = self.heard.get_mut(&id) else { return false };
        self.oldest.remove(&(*last, id));
        *last = now;
        self.oldest.insert((now, id))
    }

    /// Forgets those whose time is over.
    fn forget(&mut self, now: Instant) {
        while self.oldest.first().is_some_and(|(heard, _)| *heard + REMEMBERED_FOR <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.oldest.pop_first() {
            self.heard.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_remembered_for_as_long_as_its_agent_asks() {
        let mut withdrawn = Withdrawn::default();
        withdrawn.add(LeaseId(1), Instant::now());
        for _ in 0..5 {
            tokio::time::advance(REMEMBERED_FOR * 9 / 10).await;
            assert!(withdrawn.hears(LeaseId(1), Instant::now()));
            assert!(!withdrawn.hears(LeaseId(2), Instant::now()));
        }
        tokio::time::advance(REMEMBERED_FOR).await;
        assert!(!withdrawn.hears(LeaseId(1), Instant::now()));
        assert!(withdrawn.heard.is_empty() && withdrawn.oldest.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn those_heard_of_longest_ago_make_room() {
        let mut withdrawn = Withdrawn { most: 2, ..Withdrawn::default() };
        for id in [1, 2, 1] {
            withdrawn.add(LeaseId(id), Instant::now());
            tokio::time::advance(SECOND).await;
        }
        assert!(withdrawn.hears(LeaseId(2), Instant::now()));
        tokio::time::advance(SECOND).await;
        withdrawn.add(LeaseId(3), Instant::now());
        let left = [1, 2, 3].map(|id| withdrawn.hears(LeaseId(id), Instant::now()));
        assert_eq!(left, [false, true, true]);
        assert_eq!((withdrawn.heard.len(), withdrawn.oldest.len()), (2, 2));
    }
}
