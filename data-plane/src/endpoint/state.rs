//! All that a pick asks of an endpoint, in one word.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Relaxed},
};

/// A set of marks. Without any, the endpoint takes its full share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks(u32);

impl Marks {
    /// Disabled, expired, or not in the configuration any more.
    pub(crate) const GONE: Self = Self(1);
    /// Takes only clients that it has already.
    pub(crate) const DRAINING: Self = Self(1 << 1);
    /// Probes are on, and the first has not been answered.
    pub(crate) const UNKNOWN: Self = Self(1 << 2);
    /// Probes fail.
    pub(crate) const UNHEALTHY: Self = Self(1 << 3);
    /// Probes say that it is loaded.
    pub(crate) const DEGRADED: Self = Self(1 << 4);
    /// Taken out for what requests met.
    pub(crate) const EJECTED: Self = Self(1 << 5);
    /// With `EJECTED`: the time is over, and one request decides.
    pub(crate) const PROBATION: Self = Self(1 << 6);
    /// With `PROBATION`: that request is under way.
    pub(crate) const PROBED: Self = Self(1 << 7);
    /// Takes less than its share for a while.
    pub(crate) const RAMPING: Self = Self(1 << 8);
    /// With `RETIRED`: what is in flight must end before long, and no client keeps it.
    pub(crate) const CLOSING: Self = Self(1 << 9);

    /// Has said that it has enough, and takes a part of its share for a while.
    pub(crate) const LIMITED: Self = Self(1 << 10);

    /// What keeps new requests away whatever health says.
    pub(crate) const RETIRED: Self = Self(Self::GONE.0 | Self::DRAINING.0);
    /// What keeps the requests of clients away that it has already.
    pub(crate) const LEFT: Self = Self(Self::GONE.0 | Self::CLOSING.0);
    /// What probes find.
    pub(crate) const HEALTH: Self = Self(Self::UNKNOWN.0 | Self::UNHEALTHY.0 | Self::DEGRADED.0);
    /// All of an ejection.
    pub(crate) const EJECTION: Self = Self(Self::EJECTED.0 | Self::PROBATION.0 | Self::PROBED.0);
    /// What ends an ejection, and keeps the next one away: it gets no requests as it is, and others decide when it gets
    /// some again. So it takes up no place among the few that may be ejected.
    pub(crate) const TAKEN_OUT: Self = Self(Self::RETIRED.0 | Self::UNHEALTHY.0);

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any of `other` is there.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Without what is left over of an ejection that these marks end.
    fn settled(self) -> Self {
        let ejected = self.has(Self::EJECTED) && !self.has(Self::TAKEN_OUT);
        if ejected { self } else { self.without(Self::EJECTION) }
    }
}

/// The marks of an endpoint, for all threads.
#[derive(Debug, Default)]
pub(super) struct State(AtomicU32);

impl State {
    pub(super) fn load(&self) -> Marks {
        Marks(self.0.load(Relaxed))
    }

    /// Takes `off` away and puts `on` on, at once, and ends an ejection where that does. The marks before and after.
    pub(super) fn change(&self, off: Marks, on: Marks) -> (Marks, Marks) {
        let after = |marks: Marks| marks.without(off).and(on).settled();
        let change = |marks| Some(after(Marks(marks)).0);
        let before = Marks(self.0.fetch_update(AcqRel, Relaxed, change).unwrap_or_else(|marks| marks));
        (before, after(before))
    }

    /// Puts `EJECTED` on, unless it is there or makes no sense. Whether it did.
    pub(super) fn eject(&self) -> bool {
        let eject = |marks| {
            let marks = Marks(marks);
            let may = !marks.has(Marks::EJECTED.and(Marks::TAKEN_OUT));
            may.then_some(marks.and(Marks::EJECTED).0)
        };
        self.0.fetch_update(AcqRel, Relaxed, eject).is_ok()
    }

    /// Puts `on` on if the marks have `needed` and nothing of `on`. Whether it did: of many that try, one does.
    pub(super) fn claim(&self, needed: Marks, on: Marks) -> bool {
        let claim = |marks| {
            let marks = Marks(marks);
            (marks.has(needed) && !marks.has(on)).then_some(marks.and(on).0)
        };
        self.0.fetch_update(AcqRel, Relaxed, claim).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_and_go_together() {
        let state = State::default();
        assert!(state.load().is_empty());
        state.change(Marks::default(), Marks::UNKNOWN.and(Marks::RAMPING));
        let (before, after) = state.change(Marks::HEALTH, Marks::UNHEALTHY);
        assert_eq!(before, Marks::UNKNOWN.and(Marks::RAMPING));
        assert_eq!((after, state.load()), (Marks::UNHEALTHY.and(Marks::RAMPING), after));
    }

    #[test]
    fn what_gets_no_requests_anyway_is_not_ejected() {
        for taken_out in [Marks::GONE, Marks::DRAINING, Marks::UNHEALTHY] {
            let state = State::default();
            assert!(state.eject() && !state.eject());
            state.change(Marks::default(), Marks::PROBATION.and(Marks::PROBED));
            assert_eq!(state.change(Marks::default(), taken_out).1, taken_out);
            assert!(!state.eject());
            assert_eq!(state.change(taken_out, Marks::default()).1, Marks::default());
        }
    }

    #[test]
    fn without_an_ejection_there_is_no_probation() {
        let state = State::default();
        assert_eq!(state.change(Marks::default(), Marks::PROBATION).1, Marks::default());
    }

    #[test]
    fn of_many_one_claims() {
        let state = State::default();
        assert!(!state.claim(Marks::PROBATION, Marks::PROBED), "nothing to claim");
        state.change(Marks::default(), Marks::EJECTED.and(Marks::PROBATION));
        let claims: usize = std::thread::scope(|scope| {
            let claim = || usize::from(state.claim(Marks::PROBATION, Marks::PROBED));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(claims, 1);
    }
}
