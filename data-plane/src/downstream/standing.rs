//! What a connection has asked for at one time, and what it has taken: whoever asks for much and takes little waits behind
//! the others.

use std::cell::Cell;

use crate::admission::Turn;

/// Of a connection that may have several requests at a time.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Requests that have not ended.
    open: Cell<u32>,
    /// Answers that were taken to their end; each one that was not costs half of them.
    taken: Cell<u32>,
}

impl Standing {
    pub(super) fn begin(&self) {
        self.open.set(self.open.get() + 1);
    }

    pub(super) fn end(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// An answer was taken to its end.
    pub(super) fn take(&self) {
        self.taken.set(self.taken.get().saturating_add(1));
    }

    /// An answer was not taken. Whether any was since the last one that was not.
    pub(super) fn stall(&self) -> bool {
        let taken = self.taken.get();
        self.taken.set(taken / 2);
        taken > 0
    }

    /// Its requests wait in the first line as long as there is one of them, and one more for each answer that was taken.
    pub(crate) fn turn(&self) -> Turn {
        if self.open.get() <= self.taken.get().saturating_add(1) { Turn::First } else { Turn::Second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_takes_its_answers_may_have_many_requests_in_the_first_line() {
        let standing = Standing::default();
        standing.begin();
        assert_eq!(standing.turn(), Turn::First);
        standing.begin();
        assert_eq!(standing.turn(), Turn::Second, "nothing was taken yet");
        standing.end();
        standing.take();
        standing.begin();
        assert_eq!(standing.turn(), Turn::First);
        assert!(standing.stall() && !standing.stall());
        assert_eq!(standing.turn(), Turn::Second);
        standing.end();
        assert_eq!(standing.turn(), Turn::First);
    }
}
