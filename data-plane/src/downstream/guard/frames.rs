//! Reads the heads of HTTP/2's frames as their bytes pass by, wherever they are cut: RFC 9113 section 4.1.

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// Bytes of the client's preface, which come before the first frame.
const PREFACE: u32 = 24;

const DATA: u8 = 0;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// A frame whose head has come, with the first byte of the rest where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// DATA with bytes in it, or the end of a body.
    Data,
    /// DATA without anything.
    EmptyData,
    /// HEADERS that begin a stream. `ends`: the header is complete with it.
    Open {
        ends: bool,
    },
    /// HEADERS of a stream that was there before: trailers.
    Trailers {
        ends: bool,
    },
    Continuation {
        ends: bool,
    },
    Reset,
    WindowUpdate,
    /// PING, SETTINGS, PRIORITY and all that nobody needs often.
    Control,
}

/// Where in the stream of frames it stands.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: u8,
    /// Bytes of the frame, or of the preface, that follow.
    skip: u32,
    /// Padded DATA, whose first byte says how much of it is nothing.
    padded: bool,
    /// The last stream that was begun.
    last: u32,
}

impl Frames {
    pub(super) fn new() -> Self {
        // Any kind but data.
        Self { head: [u8::MAX; HEAD], have: 0, skip: PREFACE, padded: false, last: 0 }
    }

    /// Whether a frame has begun to come, is not complete, and is not one of data: those may take their time.
    pub(super) fn is_within_header(&self) -> bool {
        self.have > 0 || (self.skip > 0 && self.head[3] != DATA)
    }

    /// Goes through the next bytes, and tells of every frame.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.padded {
                self.padded = false;
                // One byte says how long the padding is, and is no data either.
                let nothing = u32::from(bytes[0]) + 1;
                seen(data(self.skip.saturating_sub(nothing), self.head[4]));
            }
            if self.skip > 0 {
                let n = bytes.len().min(self.skip as usize);
                self.skip -= u32::try_from(n).unwrap_or(self.skip);
                bytes = &bytes[n..];
                continue;
            }
            let have = usize::from(self.have);
            let n = bytes.len().min(HEAD - have);
            self.head[have..have + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if have + n < HEAD {
                self.have = u8::try_from(have + n).unwrap_or(0);
                return;
            }
            self.have = 0;
            if let Some(frame) = self.begin() {
                seen(frame);
            }
        }
    }

    /// A head is complete. None if the next byte is needed as well.
    fn begin(&mut self) -> Option<Frame> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        self.skip = u32::from_be_bytes([0, l0, l1, l2]);
        let ends = flags & END_HEADERS != 0;
        Some(match kind {
            DATA if flags & PADDED != 0 && self.skip > 0 => {
                self.padded = true;
                return None;
            }
            DATA => data(self.skip, flags),
            1 => {
                let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                if stream > self.last {
                    self.last = stream;
                    Frame::Open { ends }
                } else {
                    Frame::Trailers { ends }
                }
            }
            3 => Frame::Reset,
            8 => Frame::WindowUpdate,
            9 => Frame::Continuation { ends },
            _ => Frame::Control,
        })
    }
}

fn data(bytes: u32, flags: u8) -> Frame {
    if bytes == 0 && flags & END_STREAM == 0 { Frame::EmptyData } else { Frame::Data }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame's bytes.
    pub(in super::super) fn frame(kind: u8, flags: u8, stream: u32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(rest.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn seen(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut frames = Frames::new();
        frames.read(&[0; PREFACE as usize], |frame| panic!("{frame:?} in the preface"));
        let mut all = Vec::new();
        for piece in pieces {
            frames.read(piece, |frame| all.push(frame));
        }
        all
    }

    #[test]
    fn every_kind_is_told() {
        for (bytes, expected) in [
            (frame(0, 0, 1, b"x"), Frame::Data),
            (frame(0, END_STREAM, 1, b""), Frame::Data),
            (frame(0, 0, 1, b""), Frame::EmptyData),
            (frame(0, PADDED, 1, &[2, 0, 0]), Frame::EmptyData),
            (frame(0, PADDED, 1, &[2, b'x', 0, 0]), Frame::Data),
            (frame(0, PADDED, 1, &[9, b'x']), Frame::EmptyData),
            (frame(1, END_HEADERS, 1, b"x"), Frame::Open { ends: true }),
            (frame(1, 0, 1, b"x"), Frame::Open { ends: false }),
            (frame(2, 0, 1, &[0; 5]), Frame::Control),
            (frame(3, 0, 1, &[0; 4]), Frame::Reset),
            (frame(4, 0, 0, b""), Frame::Control),
            (frame(6, 0, 0, &[0; 8]), Frame::Control),
            (frame(8, 0, 0, &[0; 4]), Frame::WindowUpdate),
            (frame(9, END_HEADERS, 1, b""), Frame::Continuation { ends: true }),
            (frame(77, 0, 0, b"grease"), Frame::Control),
        ] {
            assert_eq!(seen(&[&bytes]), [expected], "{bytes:?}");
        }
    }

    #[test]
    fn a_second_header_of_a_stream_is_its_trailers() {
        let first = frame(1, END_HEADERS, 3, b"x");
        let earlier = frame(1, END_HEADERS, 1, b"x");
        let expected =
            [Frame::Open { ends: true }, Frame::Trailers { ends: true }, Frame::Trailers { ends: true }];
        assert_eq!(seen(&[&first, &first, &earlier]), expected);
    }

    #[test]
    fn it_knows_whether_something_small_is_awaited() {
        let mut frames = Frames::new();
        assert!(frames.is_within_header(), "the preface is still to come");
        frames.read(&[0; PREFACE as usize], |_| ());
        assert!(!frames.is_within_header());
        for (kind, expected) in [(0, false), (1, true), (6, true), (9, true)] {
            let bytes = frame(kind, 0, 1, &[7; 8]);
            for (n, byte) in bytes.iter().enumerate() {
                assert_eq!(frames.is_within_header(), n > 0 && (n < HEAD || expected), "{kind} {n}");
                frames.read(&[*byte], |_| ());
            }
            assert!(!frames.is_within_header());
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_bytes_are_cut(
            frames in prop::collection::vec((0..11u8, any::<u8>(), 0..9u32, prop::collection::vec(0..4u8, 0..9)), 0..9),
            cuts in prop::collection::vec(1..5usize, 1..200),
        ) {
            let bytes: Vec<_> = frames.iter().flat_map(|(kind, flags, id, rest)| frame(*kind, *flags, *id, rest)).collect();
            let whole = seen(&[&bytes]);
            prop_assert_eq!(whole.len(), frames.len());
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(seen(&pieces), whole);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let mut frames = Frames::new();
            let mut n = 0;
            frames.read(bytes, |_| n += 1);
            assert!(n <= bytes.len() / HEAD + 1);
        });
    }
}
