//! A table to look up in that takes long to build, and what stands in for it meanwhile.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use super::GroupMember;

/// Up to so many entries a table is built at once: that takes milliseconds. Larger ones are built when somebody asks for
/// it, off the way of requests and of everything else that comes into force.
const AT_ONCE: usize = 1 << 17;

/// A table over endpoints, which it knows by numbers.
#[derive(Debug)]
pub(super) struct Lookup<T> {
    entries: usize,
    in_use: ArcSwap<InUse<T>>,
}

/// The table that was asked for, or what stands in for it: a smaller one, or the one before.
#[derive(Debug)]
struct InUse<T> {
    table: Arc<T>,
    /// Of one that stands in: the member that each of its numbers is now; `NOBODY` for one that has gone.
    members: Option<Box<[u32]>>,
}

/// Instead of a member.
const NOBODY: u32 = u32::MAX;

/// Which member a number of the table in use is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers<'a> {
    Same,
    Mapped(&'a [u32]),
}

impl Numbers<'_> {
    pub(super) fn member<'m>(&self, members: &'m [GroupMember], number: usize) -> Option<&'m GroupMember> {
        match self {
            Self::Same => members.get(number),
            Self::Mapped(numbers) => members.get(*numbers.get(number)? as usize),
        }
    }
}

impl<T> Lookup<T> {
    /// One of `entries` entries over these members. While it is not built, `previous` stands in, with the members that it
    /// was made for, else what `small` makes; if nothing has changed from `previous`, that is the table.
    pub(super) fn new(
        members: &[GroupMember],
        entries: usize,
        previous: Option<(&Self, &[GroupMember])>,
        build: impl FnOnce() -> T,
        small: impl FnOnce() -> T,
    ) -> Self {
        let same = previous.filter(|(lookup, before)| lookup.entries == entries && is_same(before, members));
        let same =
            same.map(|(lookup, _)| lookup.in_use.load_full()).filter(|in_use| in_use.members.is_none());
        if let Some(in_use) = same {
            return Self { entries, in_use: ArcSwap::new(in_use) };
        }
        if entries <= AT_ONCE {
            return Self {
                entries,
                in_use: ArcSwap::from_pointee(InUse { table: Arc::new(build()), members: None }),
            };
        }
        let stand_in = previous.map(|(lookup, before)| lookup.stand_in_for(before, members));
        let in_use =
            stand_in.unwrap_or_else(|| InUse { table: Arc::new(small()), members: Some(all(members)) });
        Self { entries, in_use: ArcSwap::from_pointee(in_use) }
    }

    /// Looks up in the table in use.
    pub(super) fn look<R>(&self, look: impl FnOnce(&T, Numbers<'_>) -> R) -> R {
        let in_use = self.in_use.load();
        look(&in_use.table, in_use.members.as_deref().map_or(Numbers::Same, Numbers::Mapped))
    }

    pub(super) fn is_built(&self) -> bool {
        self.in_use.load().members.is_none()
    }

    /// Builds it, unless it is.
    pub(super) fn finish(&self, build: impl FnOnce() -> T) {
        if !self.is_built() {
            self.in_use.store(Arc::new(InUse { table: Arc::new(build()), members: None }));
        }
    }

    /// The table in use, for other members.
    fn stand_in_for(&self, before: &[GroupMember], now: &[GroupMember]) -> InUse<T> {
        let now: HashMap<_, u32> = now.iter().map(|member| member.endpoint.address()).zip(0..).collect();
        let place = |member: &GroupMember| now.get(&member.endpoint.address()).copied().unwrap_or(NOBODY);
        let current: Box<[u32]> = before.iter().map(place).collect();
        let in_use = self.in_use.load();
        let through = |number: &u32| current.get(*number as usize).copied().unwrap_or(NOBODY);
        let members = match &in_use.members {
            None => current,
            Some(older) => older.iter().map(through).collect(),
        };
        InUse { table: Arc::clone(&in_use.table), members: Some(members) }
    }
}

fn all(members: &[GroupMember]) -> Box<[u32]> {
    (0u32..).take(members.len()).collect()
}

/// Whether a table over these is one over those: it follows from addresses and weights.
fn is_same(a: &[GroupMember], b: &[GroupMember]) -> bool {
    let same = |(a, b): (&GroupMember, &GroupMember)| {
        a.weight == b.weight && a.endpoint.address() == b.endpoint.address()
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}
