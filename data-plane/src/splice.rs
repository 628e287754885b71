//! Moves a large body from one socket to another without taking it through the process: splice(2).

use std::{
    cell::RefCell,
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// A body with less to come is copied: the detour costs two system calls of its own.
pub(crate) const WORTH: u64 = 32 * 1024;

/// Bytes that a pipe may hold, if the system lets us have as many.
const PIPE_SIZE: usize = 1024 * 1024;

/// Bytes that a pipe must be able to hold: what one has if nothing is asked for.
const LEAST_SIZE: usize = 64 * 1024;

/// Pipes that a worker keeps for the next body.
const KEPT: usize = 16;

/// What is on its way between two sockets.
pub(crate) struct Pipe {
    entrance: OwnedFd,
    exit: OwnedFd,
    held: usize,
}

/// The pipes of one worker that nobody uses.
#[derive(Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipe {
    fn open() -> io::Result<Self> {
        let (exit, entrance) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // With less it works as well, in more steps. A user who has many pipes gets them so small that copying is faster.
        if fcntl_setpipe_size(&entrance, PIPE_SIZE).is_err() && fcntl_getpipe_size(&entrance)? < LEAST_SIZE {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(Self { entrance, exit, held: 0 })
    }

    /// Bytes that came in and did not go out yet.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Takes in at most `most` bytes: how many, 0 at the end of the stream. For a pipe that holds nothing.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).map_or(PIPE_SIZE, |most| most.min(PIPE_SIZE));
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || step(from, &self.entrance, most)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(n) => {
                    self.held += n;
                    return Poll::Ready(Ok(n));
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    /// Lets out what the other side takes: how many bytes.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || step(&self.exit, to, self.held)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.held -= n.min(self.held);
                    return Poll::Ready(Ok(n));
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl Pipes {
    /// None if there are no descriptors left, or too many pipes: then bodies are copied.
    pub(crate) fn take(&self) -> Option<Pipe> {
        self.0.borrow_mut().pop().or_else(|| Pipe::open().ok())
    }

    pub(crate) fn give(&self, pipe: Pipe) {
        let mut kept = self.0.borrow_mut();
        if pipe.held == 0 && kept.len() < KEPT {
            kept.push(pipe);
        }
    }
}

fn step(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("held", &self.held).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in_and_no_more_than_asked_for() {
        let ((mut sender, from), (to, mut receiver)) = (pair().await, pair().await);
        let sent: Vec<u8> = (0..1_000_003_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let expected = sent.clone();
        tokio::spawn(async move {
            sender.write_all(&sent).await.unwrap();
            sender
        });
        let arrival = tokio::spawn(async move {
            let mut arrived = Vec::new();
            receiver.read_to_end(&mut arrived).await.unwrap();
            arrived
        });
        let pipes = Pipes::default();
        let mut pipe = pipes.take().unwrap();
        let mut left = 1_000_000;
        while left > 0 {
            let n = poll_fn(|cx| pipe.poll_fill(cx, &from, left)).await.unwrap();
            left -= n as u64;
            while pipe.held() > 0 {
                poll_fn(|cx| pipe.poll_drain(cx, &to)).await.unwrap();
            }
        }
        pipes.give(pipe);
        drop(to);
        assert!(arrival.await.unwrap() == expected[..1_000_000]);
    }

    #[tokio::test]
    async fn the_end_of_the_source_is_told() {
        let (sender, from) = pair().await;
        drop(sender);
        let mut pipe = Pipe::open().unwrap();
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 10)).await.unwrap(), 0);
    }
}
