//! How many requests an endpoint may have in flight that keys are hashed to, so that a key that is asked for by everybody
//! does not break the one that it belongs to.
//!
//! Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016: of `m` requests in flight, this one
//! included, an endpoint has at most `ceil(c * m * weight / weights)`, where `c > 1`. That is room for more than `m`
//! altogether, so there always is an endpoint that has some; the key goes on to it as if the others had left.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{GroupMember, Pick, pick::Standing};
use crate::endpoint::Endpoint;

#[derive(Debug)]
pub(super) struct Bound {
    /// None: no bound.
    percent: Option<u32>,
    /// Of the endpoints that share the load: those that are healthy.
    weights: AtomicU64,
}

impl Bound {
    pub(super) fn new(percent: Option<u32>, members: &[GroupMember]) -> Self {
        let bound = Self { percent, weights: AtomicU64::default() };
        bound.recount(members);
        bound
    }

    /// Whether it may have another request.
    pub(super) fn has_room(&self, member: &GroupMember, pick: &Pick<'_>) -> bool {
        self.percent.is_none_or(|percent| {
            let load = u64::from(percent) * u64::from(pick.load.max(1)) * u64::from(member.weight);
            u64::from(member.endpoint.in_flight()) < load.div_ceil(100 * self.weights.load(Relaxed))
        })
    }

    /// The health of some endpoint may have changed.
    pub(super) fn recount(&self, members: &[GroupMember]) {
        let sum = |counts: fn(Standing) -> bool| -> u64 {
            let counted = members.iter().filter(|m| counts(Standing::of(m.endpoint.marks())));
            counted.map(|m| u64::from(m.weight)).sum()
        };
        let healthy = sum(|standing| standing == Standing::Healthy);
        let weights = if healthy > 0 { healthy } else { sum(|standing| standing != Standing::Retired) };
        self.weights.store(weights.max(1), Relaxed);
    }

    /// For when many are not admitted: one that is and has room, always the same for a key, by weight (rendezvous hashing,
    /// Thaler and Ravishankar, 1998). If health has changed and the bound has not followed yet, the one with the least in
    /// flight for its weight.
    #[cold]
    pub(super) fn find<'a>(&self, members: &'a [GroupMember], pick: &Pick<'_>) -> Option<&'a Arc<Endpoint>> {
        let admitted = || (0u64..).zip(members).filter(|(_, member)| pick.admits(&member.endpoint));
        let rooms = admitted().filter(|(_, member)| self.has_room(member, pick));
        let score =
            |(index, member): &(u64, &GroupMember)| -f64::from(member.weight) / unit(pick.key, *index).ln();
        let found = rooms.max_by(|a, b| score(a).total_cmp(&score(b))).or_else(|| {
            admitted().reduce(|best, other| {
                let load = |of: &GroupMember, by: &GroupMember| {
                    u64::from(of.endpoint.in_flight()) * u64::from(by.weight)
                };
                if load(other.1, best.1) < load(best.1, other.1) { other } else { best }
            })
        });
        found.map(|(_, member)| &member.endpoint)
    }
}

/// More than 0 and less than 1, by the hash of a key and a number.
#[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
fn unit(key: u64, index: u64) -> f64 {
    let hash = xxh3_64_with_seed(&index.to_le_bytes(), key);
    ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}
