//! What comes from a client: bytes, and where in a request's body they stand.

use std::{
    io,
    task::{Context, Poll},
};

use crate::{buffer::Buffer, http1::Content, stream::Io, worker::Local};

#[derive(Debug)]
pub(super) struct Input {
    pub(super) buffer: Buffer,
    /// The body of the request under way.
    pub(super) content: Content,
    /// Nothing more will come.
    pub(super) ended: bool,
    /// The last read filled all the room there was.
    full: bool,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { buffer: Buffer::none(), content: Content::none(), ended: false, full: false }
    }

    /// Whether more waits at the socket, as far as the last read tells, and could be read now: a read without room looks
    /// like the end.
    pub(super) fn has_more(&self) -> bool {
        self.full && (self.buffer.has_room() || self.buffer.may_grow())
    }

    /// Reads once. 0 bytes are the end.
    pub(super) fn poll_read(
        &mut self,
        local: &Local,
        io: &Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.full && self.buffer.is_empty() || !self.buffer.has_room() {
            // Whoever sends so much will send more.
            local.buffers().enlarge(&mut self.buffer, 0);
        }
        let room = self.buffer.room();
        let size = room.len();
        let n = std::task::ready!(io.poll_read(cx, room))?;
        self.full = n == size;
        self.ended |= n == 0;
        self.buffer.filled(n);
        local.counters().bytes_received.add(n as u64);
        Poll::Ready(Ok(n))
    }
}
