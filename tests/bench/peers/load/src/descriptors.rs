//! A table by descriptor. The system always gives the smallest free number, so that a plain vector is dense.

use std::os::fd::{AsRawFd, RawFd};

/// What belongs to each open descriptor.
#[derive(Debug)]
pub struct Descriptors<T>(Vec<Option<T>>);

impl<T: AsRawFd> Descriptors<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Keeps `value` under its descriptor's number, which it returns.
    pub fn insert(&mut self, value: T) -> usize {
        let number = number(value.as_raw_fd());
        if number >= self.0.len() {
            self.0.resize_with(number + 1, || None);
        }
        self.0[number] = Some(value);
        number
    }

    /// What is kept under `number`.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number)?.as_ref()
    }

    /// What is kept under `number`, to change it.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.0.get_mut(number)?.as_mut()
    }

    /// Gives away what is kept under `number`; dropping it closes the descriptor.
    pub fn remove(&mut self, number: usize) -> Option<T> {
        self.0.get_mut(number)?.take()
    }
}

impl<T: AsRawFd> Default for Descriptors<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn number(descriptor: RawFd) -> usize {
    usize::try_from(descriptor).expect("an open descriptor is not negative")
}
