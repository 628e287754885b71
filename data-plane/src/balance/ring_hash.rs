//! Consistent hashing on a ring: a key belongs to the endpoint whose point comes next.
//!
//! Each endpoint has points in proportion to its weight, where the hashes of `address_0`, `address_1` and so on fall (as
//! Envoy's ring and libketama). When one leaves, its points leave, and only its own keys move: each to whoever comes next.
//! An endpoint that may not be picked is passed by in the same way.

use std::{fmt::Write, sync::Arc};

use weir_proto::RingHash as Settings;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Balance, GroupMember, Pick,
    bound::Bound,
    lookup::{Lookup, Numbers},
};
use crate::endpoint::Endpoint;

/// So many points are passed by before all endpoints are looked at.
const STEPS: usize = 512;

/// What stands in where a large ring is not built and nothing was before.
const SMALL: f64 = 1024.0;

#[derive(Debug)]
pub(crate) struct RingHash {
    members: Arc<[GroupMember]>,
    /// Points of the ring.
    size: f64,
    ring: Lookup<Ring>,
    bound: Bound,
}

#[derive(Debug)]
struct Ring {
    /// In ascending order.
    points: Box<[u64]>,
    /// Whose they are.
    owners: Box<[u32]>,
}

impl RingHash {
    pub(super) fn new(settings: &Settings, members: &Arc<[GroupMember]>, previous: Option<&Self>) -> Self {
        let sum = members.iter().map(|m| u64::from(m.weight)).sum();
        let most = members.iter().map(|m| m.weight).max().unwrap_or(1);
        let size = settings.points(sum, most);
        let previous = previous.map(|p| (&p.ring, &*p.members));
        let ring = Lookup::new(
            members,
            points_of(size),
            previous,
            || Ring::new(size, members),
            || Ring::new(SMALL.min(size), members),
        );
        let bound = Bound::new(settings.hash_balance_factor, members);
        Self { members: Arc::clone(members), size, ring, bound }
    }

    fn walk(&self, ring: &Ring, numbers: Numbers<'_>, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        let start = ring.points.partition_point(|point| *point < pick.key);
        (0..ring.points.len().min(STEPS)).find_map(|step| {
            let owner = ring.owners[(start + step) % ring.owners.len()] as usize;
            let member = numbers.member(&self.members, owner)?;
            (pick.admits(&member.endpoint) && self.bound.has_room(member, pick)).then_some(&member.endpoint)
        })
    }
}

impl Balance for RingHash {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        // A slow start would move keys twice.
        let pick = &Pick { slow_start: None, ..*pick };
        let found = self.ring.look(|ring, numbers| self.walk(ring, numbers, pick));
        found.or_else(|| self.bound.find(&self.members, pick))
    }

    fn is_by_key(&self) -> bool {
        true
    }

    fn recount(&self) {
        self.bound.recount(&self.members);
    }

    fn ring(&self) -> Option<&RingHash> {
        Some(self)
    }

    fn is_finished(&self) -> bool {
        self.ring.is_built()
    }

    fn finish(&self) {
        self.ring.finish(|| Ring::new(self.size, &self.members));
    }
}

impl Ring {
    fn new(size: f64, members: &[GroupMember]) -> Self {
        let mut points = points(size, members);
        points.sort_unstable();
        Self {
            points: points.iter().map(|(point, _)| *point).collect(),
            owners: points.iter().map(|(_, owner)| *owner).collect(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8 million points")]
fn points_of(size: f64) -> usize {
    size.ceil() as usize
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
fn points(size: f64, members: &[GroupMember]) -> Vec<(u64, u32)> {
    let sum: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
    let mut points = Vec::with_capacity(points_of(size));
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
