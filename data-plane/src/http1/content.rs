//! A body as it stands in a buffer of bytes that were read: how much of it is there, and whether it has ended.

use super::{Decoder, Framing, Malformed, Step};
use crate::{body::Length, buffer::Buffer, message::Fields};

#[derive(Debug)]
pub(crate) struct Content {
    state: State,
    trailers: Option<Box<Fields>>,
}

#[derive(Debug)]
enum State {
    Ended,
    /// So many bytes are left.
    Sized(u64),
    /// So many bytes of a chunk are known to be in the buffer.
    Chunked(Box<Decoder>, usize),
    UntilClose,
}

impl Content {
    pub(crate) fn none() -> Self {
        Self { state: State::Ended, trailers: None }
    }

    pub(crate) fn new(framing: &Framing) -> Self {
        let state = match *framing {
            Framing::Empty | Framing::Sized(0) => State::Ended,
            Framing::Sized(n) => State::Sized(n),
            Framing::Chunked => State::Chunked(Box::default(), 0),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: None }
    }

    /// What is still to come.
    pub(crate) fn length(&self) -> Length {
        match self.state {
            State::Ended => Length::Empty,
            State::Sized(n) => Length::Sized(n),
            State::Chunked(..) | State::UntilClose => Length::Unknown,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// How many of the body's bytes the buffer begins with, after its framing was taken out of it. 0 if more must be
    /// read, or if the body has ended.
    pub(crate) fn available(&mut self, buffer: &mut Buffer) -> Result<usize, Malformed> {
        loop {
            let unread = buffer.unread();
            let (decoder, data) = match &mut self.state {
                State::Ended => return Ok(0),
                State::Sized(left) => {
                    return Ok(usize::try_from(*left).map_or(unread.len(), |left| left.min(unread.len())));
                }
                State::UntilClose => return Ok(unread.len()),
                State::Chunked(_, data) if *data > 0 => return Ok(*data),
                State::Chunked(_, _) if unread.is_empty() => return Ok(0),
                State::Chunked(decoder, data) => (decoder, data),
            };
            match decoder.step(unread)? {
                Step::More => return Ok(0),
                Step::Data { skip, data: n } => {
                    *data = n;
                    buffer.consume(skip);
                }
                Step::End { skip } => {
                    self.trailers = decoder.take_trailers().map(Box::new);
                    self.state = State::Ended;
                    buffer.consume(skip);
                }
            }
        }
    }

    /// Takes bytes that are available.
    pub(crate) fn consume(&mut self, buffer: &mut Buffer, n: usize) {
        buffer.consume(n);
        match &mut self.state {
            State::Sized(left) => {
                *left = left.saturating_sub(n as u64);
                if *left == 0 {
                    self.state = State::Ended;
                }
            }
            State::Chunked(_, data) => *data = data.saturating_sub(n),
            State::Ended | State::UntilClose => {}
        }
    }

    /// The connection has ended, and all that was available was taken: whether the body is whole.
    pub(crate) fn close(&mut self) -> bool {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Ended;
        }
        self.is_ended()
    }

    /// What followed the body.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take().map(|trailers| *trailers)
    }
}
