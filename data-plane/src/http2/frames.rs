//! Reads the heads of HTTP/2's frames as their bytes pass by, wherever they are cut, and finds the header blocks in them:
//! RFC 9113 sections 4.1, 6.2 and 6.10.

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// Bytes of the client's preface, which come before the first frame.
const PREFACE: u32 = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

const LARGEST_STREAM: u32 = 0x7fff_ffff;

/// What is found as the bytes pass by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    Frame(Frame),
    /// The next bytes of a header block.
    Fragment(&'a [u8]),
    /// The header block is complete.
    Block(Block),
}

/// A frame whose head has come, with the first byte of the rest where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
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

/// A header block, by the HEADERS that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) stream: u32,
    /// The stream began with it, if a client sent it.
    pub(crate) opens: bool,
    /// Nothing follows it on the stream.
    pub(crate) ends_stream: bool,
}

/// Where in the stream of frames it stands.
#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: u8,
    /// Bytes of the frame, or of the preface, that follow.
    skip: u32,
    /// A padded frame, whose first byte says how much of it is nothing.
    padded: bool,
    /// A header block's frame of which not all has come.
    in_fragment: bool,
    /// Bytes that come before the fragment: the length of the padding, and a priority with the stream it depends on.
    lead: u8,
    dependency: u32,
    /// Bytes of padding after the fragment.
    padding: u32,
    block: Block,
    /// The last stream that was begun.
    last: u32,
}

impl Frames {
    /// As a client sends them.
    pub(crate) fn of_client() -> Self {
        Self { skip: PREFACE, ..Self::of_server() }
    }

    /// As a server sends them.
    pub(crate) fn of_server() -> Self {
        Self {
            // Any kind but data.
            head: [u8::MAX; HEAD],
            have: 0,
            skip: 0,
            padded: false,
            in_fragment: false,
            lead: 0,
            dependency: 0,
            padding: 0,
            block: Block { stream: 0, opens: false, ends_stream: false },
            last: 0,
        }
    }

    /// Whether a frame has begun to come, is not complete, and is not one of data: those may take their time.
    pub(crate) fn is_within_header(&self) -> bool {
        self.have > 0 || (self.skip > 0 && self.head[3] != DATA)
    }

    /// Goes through the next bytes, and tells of all that is found in them.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen<'_>)) {
        while !bytes.is_empty() {
            if self.padded {
                self.padded = false;
                self.pad(bytes[0], &mut seen);
            }
            if self.skip > 0 {
                let n = bytes.len().min(self.skip as usize);
                let (these, rest) = bytes.split_at(n);
                if self.in_fragment {
                    self.fragment(these, &mut seen);
                }
                self.skip -= u32::try_from(n).unwrap_or(self.skip);
                bytes = rest;
            } else {
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
                    seen(Seen::Frame(frame));
                }
            }
            if self.in_fragment && self.skip == 0 {
                self.in_fragment = false;
                if self.head[4] & END_HEADERS != 0 {
                    seen(Seen::Block(self.block));
                }
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
            HEADERS => {
                let stream = u32::from_be_bytes([s0, s1, s2, s3]) & LARGEST_STREAM;
                let opens = stream > self.last;
                self.last = self.last.max(stream);
                self.block = Block { stream, opens, ends_stream: flags & END_STREAM != 0 };
                (self.in_fragment, self.padded) = (true, flags & PADDED != 0 && self.skip > 0);
                (self.lead, self.dependency) = (if flags & PRIORITY != 0 { 5 } else { 0 }, 0);
                self.padding = 0;
                if opens { Frame::Open { ends } } else { Frame::Trailers { ends } }
            }
            3 => Frame::Reset,
            8 => Frame::WindowUpdate,
            CONTINUATION => {
                (self.in_fragment, self.lead, self.padding) = (true, 0, 0);
                Frame::Continuation { ends }
            }
            _ => Frame::Control,
        })
    }

    /// The first byte of a padded frame says how long the padding is, and is no part of what is padded either.
    fn pad(&mut self, length: u8, seen: &mut impl FnMut(Seen<'_>)) {
        if self.in_fragment {
            (self.padding, self.lead) = (u32::from(length), self.lead + 1);
        } else {
            let nothing = u32::from(length) + 1;
            seen(Seen::Frame(data(self.skip.saturating_sub(nothing), self.head[4])));
        }
    }

    /// The next bytes of a frame with a part of a header block.
    fn fragment(&mut self, mut bytes: &[u8], seen: &mut impl FnMut(Seen<'_>)) {
        let mut left = self.skip;
        while let (1.., [byte, rest @ ..]) = (self.lead, bytes) {
            if self.lead > 1 {
                self.dependency = self.dependency << 8 | u32::from(*byte);
            }
            (self.lead, left, bytes) = (self.lead - 1, left - 1, rest);
            // A stream that depends on itself is reset, and its header block not looked at: RFC 7540 section 5.3.1.
            if self.lead == 0 && self.dependency & LARGEST_STREAM == self.block.stream {
                self.in_fragment = false;
                return;
            }
        }
        let n = bytes.len().min(left.saturating_sub(self.padding) as usize);
        if n > 0 {
            seen(Seen::Fragment(&bytes[..n]));
        }
    }
}

fn data(bytes: u32, flags: u8) -> Frame {
    if bytes == 0 && flags & END_STREAM == 0 { Frame::EmptyData } else { Frame::Data }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame's bytes.
    pub(crate) fn frame(kind: u8, flags: u8, stream: u32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(rest.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn seen(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut frames = Frames::of_client();
        frames.read(&[0; PREFACE as usize], |seen| panic!("{seen:?} in the preface"));
        let mut all = Vec::new();
        for piece in pieces {
            frames.read(piece, |seen| {
                if let Seen::Frame(frame) = seen {
                    all.push(frame);
                }
            });
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
        let mut frames = Frames::of_client();
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

    /// The header blocks in the pieces, each with the head that began it.
    fn blocks(pieces: &[&[u8]]) -> Vec<(Block, Vec<u8>)> {
        let (mut all, mut block) = (Vec::new(), Vec::new());
        let mut frames = Frames::of_server();
        for piece in pieces {
            frames.read(piece, |seen| match seen {
                Seen::Frame(_) => {}
                Seen::Fragment(bytes) => block.extend_from_slice(bytes),
                Seen::Block(head) => all.push((head, std::mem::take(&mut block))),
            });
        }
        all
    }

    #[test]
    fn header_blocks_are_found_without_what_is_around_them() {
        const ALL: u8 = END_STREAM | END_HEADERS | PADDED | PRIORITY;
        let priority = [0, 0, 0, 7, 9];
        let bytes = [
            frame(HEADERS, END_HEADERS, 1, b"abc"),
            frame(HEADERS, ALL, 3, &[&[2][..], &priority, b"abc", &[0, 0]].concat()),
            frame(HEADERS, PADDED | END_STREAM, 3, &[&[1][..], b"a", &[0]].concat()),
            frame(CONTINUATION, 0, 3, b""),
            frame(CONTINUATION, END_HEADERS | PADDED | PRIORITY, 3, b"bc"),
            frame(HEADERS, END_HEADERS, 5, b""),
            // Nothing but padding; more padding than there is; a stream that depends on itself.
            frame(HEADERS, END_HEADERS | PADDED, 7, &[2, 0, 0]),
            frame(HEADERS, END_HEADERS | PADDED, 9, &[5, 0, 0]),
            frame(HEADERS, END_HEADERS | PRIORITY, 7, &[&priority[..], b"abc"].concat()),
            frame(DATA, 0, 1, b"data"),
        ]
        .concat();
        let expected = [
            (1, true, false, "abc"),
            (3, true, true, "abc"),
            (3, false, true, "abc"),
            (5, true, false, ""),
            (7, true, false, ""),
            (9, true, false, ""),
        ]
        .map(|(stream, opens, ends_stream, text)| (Block { stream, opens, ends_stream }, text.into()));
        assert_eq!(blocks(&[&bytes]), expected);
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(blocks(&single), expected);
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
            prop_assert_eq!(blocks(&pieces), blocks(&[&bytes]));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let mut frames = Frames::of_client();
            let mut n = 0;
            frames.read(bytes, |seen| n += usize::from(matches!(seen, Seen::Frame(_))));
            assert!(n <= bytes.len() / HEAD + 1);
        });
    }
}
