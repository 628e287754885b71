//! Consistent hashing on a ring: a key belongs to the endpoint whose point comes next.
//!
//! Each endpoint has points in proportion to its weight, where the hashes of `address_0`, `address_1` and so on fall (as
//! Envoy's ring and libketama). When one leaves, its points leave, and only its own keys move: each to whoever comes next.
//! An endpoint that may not be picked is passed by in the same way.

use std::{fmt::Write, sync::Arc};

use weir_proto::RingHash as Settings;
use xxhash_rust::xxh3::xxh3_64;

use super::{Balance, GroupMember, Pick, bound::Bound};
use crate::endpoint::Endpoint;

/// So many points are passed by before all endpoints are looked at.
const STEPS: usize = 512;
/// Points beyond which a ring does not grow of itself: 3 MiB.
const ENOUGH: u32 = 1 << 18;

#[derive(Debug)]
pub(super) struct RingHash {
    members: Arc<[GroupMember]>,
    /// In ascending order.
    points: Box<[u64]>,
    /// Whose they are.
    owners: Box<[u32]>,
    bound: Bound,
}

impl RingHash {
    pub(super) fn new(settings: &Settings, members: &Arc<[GroupMember]>) -> Self {
        let mut points = points(settings, members);
        points.sort_unstable();
        Self {
            members: Arc::clone(members),
            points: points.iter().map(|(point, _)| *point).collect(),
            owners: points.iter().map(|(_, owner)| *owner).collect(),
            bound: Bound::new(settings.hash_balance_factor, members),
        }
    }
}

impl Balance for RingHash {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        // A slow start would move keys twice.
        let pick = &Pick { slow_start: None, ..*pick };
        let start = self.points.partition_point(|point| *point < pick.key);
        for step in 0..self.points.len().min(STEPS) {
            let member = &self.members[self.owners[(start + step) % self.owners.len()] as usize];
            if pick.admits(&member.endpoint) && self.bound.has_room(member, pick) {
                return Some(&member.endpoint);
            }
        }
        self.bound.find(&self.members, pick)
    }

    fn is_by_key(&self) -> bool {
        true
    }

    fn recount(&self) {
        self.bound.recount(&self.members);
    }
}

/// The points of all endpoints, and whose they are. The heaviest endpoint has as many as the least ring: so what it has
/// does not depend on how many there are, and none of its keys moves because another one came or went (as they do on
/// Envoy's ring, whose size is what stays). Only where that would be too many, they all have less.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a ring has at most 8 million points, and weights sum up to less than 2^52"
)]
fn points(settings: &Settings, members: &[GroupMember]) -> Vec<(u64, u32)> {
    let sum: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
    let most = members.iter().map(|m| m.weight).max().unwrap_or(1);
    let wanted = f64::from(settings.minimum_ring_size) * sum as f64 / f64::from(most);
    let room = ENOUGH.max(settings.minimum_ring_size).min(settings.maximum_ring_size);
    let size = wanted.min(f64::from(room));
    let mut points = Vec::with_capacity(size.ceil() as usize);
    let mut name = String::new();
    let mut weights = 0;
    for (owner, member) in (0u32..).zip(members) {
        weights += u64::from(member.weight);
        let until = (size * (weights as f64 / sum as f64)).round() as usize;
        name.clear();
        // Writing to a string does not fail.
        let _ = write!(name, "{}_", member.endpoint.address());
        let address = name.len();
        for n in 0..until.saturating_sub(points.len()) {
            name.truncate(address);
            let _ = write!(name, "{n}");
            points.push((xxh3_64(name.as_bytes()), owner));
        }
    }
    points
}
