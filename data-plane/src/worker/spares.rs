//! What requests need for a moment, kept for the next one: taking it from here costs less than making it.

use std::{cell::RefCell, fmt};

/// Of each kind. The one given back last, which the processor still has at hand, is taken first.
const KEPT: usize = 64;

/// A text that has grown larger is not kept.
const LARGEST_TEXT: usize = 128 * 1024;

/// Things that are good for another use once they are given back.
pub(crate) struct Spares<T>(RefCell<Vec<T>>);

/// What can be kept.
pub(crate) trait Spare: Default {
    /// Forgets what it was used for. False if it has grown too large to keep.
    fn clear(&mut self) -> bool;
}

impl<T: Spare> Spares<T> {
    pub(crate) fn take(&self) -> T {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, mut thing: T) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT && thing.clear() {
            kept.push(thing);
        }
    }
}

impl Spare for Vec<u8> {
    fn clear(&mut self) -> bool {
        self.clear();
        self.capacity() <= LARGEST_TEXT
    }
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> fmt::Debug for Spares<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").field("kept", &self.0.borrow().len()).finish()
    }
}
