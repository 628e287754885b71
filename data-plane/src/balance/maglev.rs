//! Consistent hashing by a table in which each endpoint has as many entries as its weight says.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016, section 3.4; with weights as
//! Envoy: an endpoint that is lighter than the heaviest one waits for its turn. When one leaves, its keys are spread evenly
//! over the others, and a few of theirs move too. When one may just not be picked, its own keys alone move.

use std::sync::Arc;

use weir_proto::Maglev as Settings;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    Balance, GroupMember, Pick,
    bound::Bound,
    lookup::{Lookup, Numbers},
};
use crate::endpoint::Endpoint;

/// So often a key is hashed again whose endpoint may not be picked, before all endpoints are looked at.
const TRIES: u64 = 16;

/// Entries of what stands in where a large table is not built and nothing was before; a prime.
const SMALL: usize = 65_537;

#[derive(Debug)]
pub(crate) struct Maglev {
    members: Arc<[GroupMember]>,
    /// Entries of the table.
    size: usize,
    table: Lookup<Table>,
    bound: Bound,
}

/// Whose the entries are; as small as can be, so that it stays in the cache.
#[derive(Debug)]
enum Table {
    Small(Box<[u16]>),
    Large(Box<[u32]>),
}

impl Maglev {
    pub(super) fn new(settings: &Settings, members: &Arc<[GroupMember]>, previous: Option<&Self>) -> Self {
        let size = settings.table_size as usize;
        let previous = previous.map(|p| (&p.table, &*p.members));
        let table = Lookup::new(
            members,
            size,
            previous,
            || Table::new(&entries(members, size)),
            || Table::new(&entries(members, SMALL)),
        );
        let bound = Bound::new(settings.hash_balance_factor, members);
        Self { members: Arc::clone(members), size, table, bound }
    }

    fn hop(&self, table: &Table, numbers: Numbers<'_>, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        let mut key = pick.key;
        for again in 1..=TRIES {
            let member = numbers.member(&self.members, table.owner(key));
            if let Some(member) = member.filter(|m| pick.admits(&m.endpoint) && self.bound.has_room(m, pick))
            {
                return Some(&member.endpoint);
            }
            key = xxh3_64_with_seed(&pick.key.to_le_bytes(), again);
        }
        None
    }
}

impl Balance for Maglev {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        if self.members.is_empty() {
            return None;
        }
        // A slow start would move keys twice.
        let pick = &Pick { slow_start: None, ..*pick };
        let found = self.table.look(|table, numbers| self.hop(table, numbers, pick));
        found.or_else(|| self.bound.find(&self.members, pick))
    }

    fn is_by_key(&self) -> bool {
        true
    }

    fn recount(&self) {
        self.bound.recount(&self.members);
    }

    fn maglev(&self) -> Option<&Maglev> {
        Some(self)
    }

    fn is_finished(&self) -> bool {
        self.table.is_built()
    }

    fn finish(&self) {
        self.table.finish(|| Table::new(&entries(&self.members, self.size)));
    }
}

impl Table {
    fn new(entries: &[u32]) -> Self {
        let small: Result<Box<[u16]>, _> = entries.iter().map(|owner| u16::try_from(*owner)).collect();
        small.map_or_else(|_| Self::Large(entries.into()), Self::Small)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder is less than the length")]
    fn owner(&self, key: u64) -> usize {
        match self {
            Self::Small(entries) => usize::from(entries[(key % entries.len() as u64) as usize]),
            Self::Large(entries) => entries[(key % entries.len() as u64) as usize] as usize,
        }
    }
}

/// The order in which an endpoint wants entries, and how far it has got.
struct Wishes {
    next: usize,
    skip: usize,
    weight: u64,
    /// The sum of weights at which its turn comes.
    due: u64,
}

/// Whose the entries of the table are; `size` is a prime, so that everybody's wishes come past each entry.
fn entries(members: &[GroupMember], size: usize) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let most = members.iter().map(|m| u64::from(m.weight)).max().unwrap_or(1);
    let mut wishes: Vec<Wishes> = members.iter().map(|member| Wishes::of(member, size)).collect();
    let mut entries = vec![FREE; if members.is_empty() { 0 } else { size }];
    let mut left = entries.len();
    for round in 1u64.. {
        for (owner, wishes) in (0u32..).zip(&mut wishes) {
            if left == 0 {
                return entries;
            }
            if round * wishes.weight < wishes.due {
                continue;
            }
            wishes.due += most;
            while entries[wishes.next] != FREE {
                wishes.advance(size);
            }
            entries[wishes.next] = owner;
            wishes.advance(size);
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    entries
}

impl Wishes {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder is less than the size")]
    fn of(member: &GroupMember, size: usize) -> Self {
        let name = member.endpoint.address().to_string();
        let hash = |seed| xxh3_64_with_seed(name.as_bytes(), seed);
        Self {
            next: (hash(0) % size as u64) as usize,
            skip: (hash(1) % (size as u64 - 1)) as usize + 1,
            weight: u64::from(member.weight),
            due: 0,
        }
    }

    fn advance(&mut self, size: usize) {
        self.next += self.skip;
        if self.next >= size {
            self.next -= size;
        }
    }
}
