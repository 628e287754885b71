//! How many leases expired lately: what a cap is measured by.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The expiries of one service, or of all, as far back as anybody asks.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// By time; one for each moment at which any expired, so there are at most ten for each second.
    moments: VecDeque<Moment>,
    total: u64,
}

/// Expiries that happened together.
#[derive(Debug)]
struct Moment {
    at: Instant,
    /// How many leases lived just before.
    live: usize,
    /// How many expiries came before.
    before: u64,
}

impl Window {
    /// How many expired in the `ttl` that ends `now`, and how many leases lived just before the first of them.
    pub(super) fn within(&self, now: Instant, ttl: Duration) -> Option<(usize, usize)> {
        let first = self.moments.partition_point(|moment| moment.at + ttl <= now);
        let first = self.moments.get(first)?;
        Some((usize::try_from(self.total - first.before).unwrap_or(usize::MAX), first.live))
    }

    /// One of `live` leases expires. `live` counts only for the first of several at one moment. What is older than
    /// `longest` is forgotten.
    pub(super) fn add(&mut self, now: Instant, live: usize, longest: Duration) {
        if self.moments.back().is_none_or(|moment| moment.at != now) {
            self.moments.push_back(Moment { at: now, live, before: self.total });
        }
        self.total += 1;
        while self.moments.front().is_some_and(|moment| moment.at + longest <= now) {
            self.moments.pop_front();
        }
    }

    /// One of those that were added last did not expire.
    pub(super) fn withdraw(&mut self) {
        let Some(last) = self.moments.back() else { return };
        self.total -= 1;
        if self.total == last.before {
            self.moments.pop_back();
        }
    }

    /// So much time counts for nothing.
    pub(super) fn shift(&mut self, by: Duration) {
        self.moments.iter_mut().for_each(|moment| moment.at += by);
    }
}
