//! A body as it stands in a buffer of bytes that were read: how much of it is there, and whether it has ended.

use super::{Decoder, Framing, Malformed, Most, Step};
use crate::{body::Length, buffer::Buffer, message::Fields, splice};

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

    /// `most` is what trailers may have.
    pub(crate) fn new(framing: &Framing, most: Most) -> Self {
        let state = match *framing {
            Framing::Empty | Framing::Sized(0) => State::Ended,
            Framing::Sized(n) => State::Sized(n),
            Framing::Chunked => State::Chunked(Box::new(Decoder::new(most)), 0),
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
            State::Chunked(_, data) => *data = data.saturating_sub(n),
            State::Sized(_) => self.passed_by(n),
            State::Ended | State::UntilClose => {}
        }
    }

    /// Whether the `n` bytes that are available are all that is left. Of chunks it is what they look like.
    pub(crate) fn is_last(&self, buffer: &Buffer, n: usize) -> bool {
        match &self.state {
            State::Ended => true,
            State::Sized(left) => *left == n as u64,
            State::Chunked(..) => buffer.unread().ends_with(b"\r\n0\r\n\r\n"),
            State::UntilClose => false,
        }
    }

    /// Bytes still to come, where that is known and nothing stands between them.
    pub(crate) fn left(&self) -> u64 {
        if let State::Sized(left) = self.state { left } else { 0 }
    }

    /// Whether, of a body of which `n` bytes are there, it pays to read the rest before anything is written: it is no
    /// more than one more read will bring, and less than what the kernel would move by itself.
    pub(crate) fn is_better_whole(&self, n: usize) -> bool {
        let rest = self.left().saturating_sub(n as u64);
        rest > 0 && rest < splice::WORTH
    }

    /// Takes bytes that never were in a buffer.
    pub(crate) fn passed_by(&mut self, n: usize) {
        if let State::Sized(left) = &mut self.state {
            *left = left.saturating_sub(n as u64);
            if *left == 0 {
                self.state = State::Ended;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{buffer::Buffers, message::Name};

    const MOST: Most = Most { bytes: 1024, fields: 10 };

    /// What is read of a body that arrives in pieces, and what is left after it; `None` if it has not ended.
    fn read(framing: Framing, text: &[u8], piece: usize) -> Option<(Vec<u8>, Vec<u8>, Option<Fields>)> {
        let mut content = Content::new(&framing, MOST);
        let (mut buffer, mut data) = (Buffer::none(), Vec::new());
        Buffers::default().lend(&mut buffer);
        for piece in text.chunks(piece) {
            buffer.room()[..piece.len()].copy_from_slice(piece);
            buffer.filled(piece.len());
            loop {
                let n = content.available(&mut buffer).unwrap();
                if n == 0 {
                    break;
                }
                // Not all at once.
                let n = n.div_ceil(2);
                data.extend_from_slice(&buffer.unread()[..n]);
                content.consume(&mut buffer, n);
            }
        }
        content.close().then(|| (data, buffer.unread().to_vec(), content.take_trailers()))
    }

    #[test]
    fn a_body_is_read_whole_and_nothing_after_it() {
        for piece in [1, 2, 3, 5, 8, 100] {
            for (framing, text, expected, left) in [
                (Framing::Empty, &b"GET /"[..], &b""[..], &b"GET /"[..]),
                (Framing::Sized(0), b"GET /", b"", b"GET /"),
                (Framing::Sized(5), b"helloGET /", b"hello", b"GET /"),
                (Framing::Chunked, b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nGET /", b"hello", b"GET /"),
                (Framing::UntilClose, b"hello", b"hello", b""),
            ] {
                let (data, unread, trailers) = read(framing, text, piece).unwrap();
                assert_eq!((&data[..], &unread[..]), (expected, left), "{framing:?} in pieces of {piece}");
                assert!(trailers.is_none());
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_off_has_not_ended() {
        assert!(read(Framing::Sized(5), b"hell", 4).is_none());
        assert!(read(Framing::Chunked, b"5\r\nhello\r\n0\r\n\r", 100).is_none());
    }

    #[test]
    fn trailers_come_with_the_end() {
        let (_, _, trailers) = read(Framing::Chunked, b"0\r\ngrpc-status: 0\r\n\r\n", 1).unwrap();
        assert_eq!(trailers.unwrap().get(Name::GrpcStatus), Some(&b"0"[..]));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let (mut content, mut buffer) = (Content::new(&Framing::Chunked, MOST), Buffer::none());
        Buffers::default().lend(&mut buffer);
        buffer.room()[..3].copy_from_slice(b"x\r\n");
        buffer.filled(3);
        assert_eq!(content.available(&mut buffer), Err(Malformed));
    }
}
