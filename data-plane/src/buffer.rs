//! Room for bytes on their way, lent by each worker to the connections that have something to read.

use std::{cell::RefCell, fmt};

/// Enough for nearly every head with a small body.
const SMALL: usize = 16 * 1024;

/// For bodies that keep coming: one system call for as much as a socket's buffer holds.
const LARGE: usize = 128 * 1024;

/// Buffers of one kind that a worker keeps for the next one that needs them.
const KEPT: usize = 64;

/// Bytes that were read and not used yet.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// The buffers that nobody has.
#[derive(Default)]
pub(crate) struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
}

impl Buffer {
    /// One without room, which costs nothing.
    pub(crate) fn none() -> Self {
        Self { bytes: Box::default(), start: 0, end: 0 }
    }

    /// What was read and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether more can be read without a larger one.
    pub(crate) fn has_room(&self) -> bool {
        self.unread().len() < self.bytes.len()
    }

    /// Whether there is a larger one for bodies.
    pub(crate) fn may_grow(&self) -> bool {
        self.bytes.len() < LARGE
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Where to read to. What is unread is moved to the front first if the end is reached.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// `n` bytes of the room were filled.
    pub(crate) fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

impl Buffers {
    /// Gives room to a buffer that has none.
    pub(crate) fn lend(&self, buffer: &mut Buffer) {
        if buffer.capacity() == 0 {
            let kept = self.small.borrow_mut().pop();
            buffer.bytes = kept.unwrap_or_else(|| vec![0; SMALL].into_boxed_slice());
        }
    }

    /// Exchanges the room for a larger one; what is unread moves along. For heads, up to `least` bytes.
    pub(crate) fn enlarge(&self, buffer: &mut Buffer, least: usize) {
        if buffer.capacity() >= LARGE.max(least) {
            return;
        }
        let kept = if least <= LARGE { self.large.borrow_mut().pop() } else { None };
        let bytes = kept.unwrap_or_else(|| vec![0; LARGE.max(least)].into_boxed_slice());
        let mut larger = Buffer { bytes, start: 0, end: 0 };
        let unread = buffer.unread();
        larger.bytes[..unread.len()].copy_from_slice(unread);
        larger.filled(unread.len());
        let small = std::mem::replace(buffer, larger);
        self.keep(small.bytes);
    }

    /// Takes back the room; what is unread is lost.
    pub(crate) fn take_back(&self, buffer: &mut Buffer) {
        let buffer = std::mem::replace(buffer, Buffer::none());
        self.keep(buffer.bytes);
    }

    fn keep(&self, bytes: Box<[u8]>) {
        let kept = match bytes.len() {
            SMALL => &self.small,
            LARGE => &self.large,
            _ => return,
        };
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(bytes);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("unread", &self.unread().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut Buffer, bytes: &[u8]) {
        let n = bytes.len();
        buffer.room()[..n].copy_from_slice(bytes);
        buffer.filled(n);
    }

    #[test]
    fn what_is_unread_outlasts_moving_and_growing() {
        let buffers = Buffers::default();
        let mut buffer = Buffer::none();
        assert!(!buffer.has_room());
        buffers.lend(&mut buffer);
        read(&mut buffer, &[7; SMALL]);
        assert!(!buffer.has_room() && buffer.may_grow());
        buffer.consume(SMALL - 2);
        assert!(buffer.has_room());
        assert_eq!(buffer.room().len(), SMALL - 2);
        assert_eq!(buffer.unread(), [7, 7]);
        buffers.enlarge(&mut buffer, 0);
        assert_eq!((buffer.unread(), buffer.capacity()), (&[7, 7][..], LARGE));
        assert!(!buffer.may_grow());
        buffers.enlarge(&mut buffer, LARGE + 1);
        assert_eq!((buffer.unread(), buffer.capacity()), (&[7, 7][..], LARGE + 1));
    }

    #[test]
    fn room_is_used_again() {
        let buffers = Buffers::default();
        let mut buffer = Buffer::none();
        buffers.lend(&mut buffer);
        read(&mut buffer, b"secret");
        let room = buffer.bytes.as_ptr();
        buffers.take_back(&mut buffer);
        assert!(buffer.is_empty() && buffer.capacity() == 0);
        buffers.lend(&mut buffer);
        assert_eq!((buffer.bytes.as_ptr(), buffer.unread()), (room, &[][..]));
    }
}
