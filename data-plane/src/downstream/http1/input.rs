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

    /// Reads once. 0 bytes are the end, unless there is no room and none to get.
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
        self.ended |= n == 0 && size > 0;
        self.buffer.filled(n);
        local.counters().bytes_received.add(n as u64);
        Poll::Ready(Ok(n))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::stream::Stream;

    #[tokio::test]
    async fn a_full_buffer_is_not_the_end() {
        let local = Local::alone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let io = Io::new(Stream::Plain(listener.accept().await.unwrap().0));
        let mut input = Input::new();
        // As large as it gets.
        local.buffers().enlarge(&mut input.buffer, 0);
        let room = input.buffer.room().len();
        input.buffer.filled(room);
        client.write_all(b"more").await.unwrap();
        poll_fn(|cx| io.poll_readable(cx)).await.unwrap();
        assert_eq!(poll_fn(|cx| input.poll_read(&local, &io, cx)).await.unwrap(), 0);
        assert!(!input.ended, "the client has sent more");
        input.buffer.consume(room);
        assert_eq!(poll_fn(|cx| input.poll_read(&local, &io, cx)).await.unwrap(), 4);
        drop(client);
        input.buffer.consume(4);
        assert_eq!(poll_fn(|cx| input.poll_read(&local, &io, cx)).await.unwrap(), 0);
        assert!(input.ended);
    }
}
