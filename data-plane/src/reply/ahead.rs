//! What was taken of an answer while its client took nothing, within bounds for the answer and for its worker.

use std::rc::Rc;

use bytes::{Buf, BytesMut};

use crate::worker::Local;

/// Bytes of an answer that are taken from the backend before the client takes them.
const MOST: usize = 64 * 1024;

/// The same of all answers at one worker. Beyond that they stay at their backends, and keep their places.
const MOST_OF_WORKER: usize = 64 * 1024 * 1024;

/// Whether an answer of which `held` waits may have `n` more bytes wait.
pub(super) fn has_room(local: &Local, held: Option<&Ahead>, n: usize) -> bool {
    held.map_or(0, |held| held.text.len()) + n <= MOST && local.ahead().get() + n <= MOST_OF_WORKER
}

/// Bytes of an answer that wait for the client, counted at their worker.
#[derive(Debug)]
pub(super) struct Ahead {
    text: BytesMut,
    local: Rc<Local>,
    counted: usize,
}

impl Ahead {
    pub(super) fn new(local: &Rc<Local>) -> Self {
        Self { text: BytesMut::new(), local: Rc::clone(local), counted: 0 }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.counted += bytes.len();
        self.local.ahead().set(self.local.ahead().get() + bytes.len());
    }

    /// The room stays until all is gone, and so does the count.
    pub(super) fn consume(&mut self, n: usize) {
        self.text.advance(n.min(self.text.len()));
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.local.ahead().set(self.local.ahead().get() - self.counted);
    }
}
