//! A client that writes frames as bytes, and reads what comes back as frames.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::super::harness::{Proxy, within};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// Bytes of a frame that everybody takes.
const MAX_FRAME: usize = 16_384;

/// What a good request begins with.
pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) rest: Vec<u8>,
}

impl Frame {
    /// The code of a reset, or of the end of the connection.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.rest[at..at + 4].try_into().unwrap())
    }

    /// The status in a header that the codec wrote: an index of the static table, or digits by Huffman's code.
    pub(super) fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS);
        let block = &self.rest[self.rest.iter().position(|byte| byte >> 5 != 1).unwrap()..];
        match block[0] {
            index @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
            0x48 | 0x08 if block[1] & 0x80 == 0 => {
                std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap()
            }
            0x48 | 0x08 => digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
            other => panic!("a status that begins with {other:#x}"),
        }
    }
}

/// Three digits by Huffman's code: RFC 7541 appendix B.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0u16, |n, bit| n << 1 | u16::from(*bit));
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let short = number(&bits[at..at + 5]);
        let digit = if short <= 2 { short } else { number(&bits[at..at + 6]) - 0b01_1001 + 3 };
        at += if short <= 2 { 5 } else { 6 };
        status = status * 10 + digit;
    }
    status
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(rest.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// A header block: every line literal, so that anything can be said in it.
pub(super) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        string(&mut block, name.as_ref());
        string(&mut block, value.as_ref());
    }
    block
}

fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut n = text.len();
    if n < 127 {
        block.push(u8::try_from(n).unwrap());
    } else {
        block.push(127);
        n -= 127;
        while n >= 128 {
            block.push(u8::try_from(n % 128).unwrap() | 128);
            n /= 128;
        }
        block.push(u8::try_from(n).unwrap());
    }
    block.extend(text);
}

pub(super) struct RawClient(TcpStream);

impl RawClient {
    /// One that has said what it must.
    pub(super) async fn to(proxy: &Proxy) -> Self {
        let mut client = Self::silent(proxy).await;
        client.send(PREFACE).await;
        client.send(&frame(SETTINGS, 0, 0, b"")).await;
        client
    }

    /// One that has said nothing.
    pub(super) async fn silent(proxy: &Proxy) -> Self {
        Self(TcpStream::connect(proxy.address).await.unwrap())
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // The proxy may have gone, which is for the test to notice.
        let _ = within(self.0.write_all(bytes)).await;
    }

    pub(super) async fn get(&mut self, stream: u32) {
        self.open(stream, &GET, END_STREAM).await;
    }

    /// In as many frames as it takes.
    pub(super) async fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        lines: &[(N, V)],
        flags: u8,
    ) {
        let block = block(lines);
        let pieces: Vec<_> = block.chunks(MAX_FRAME).collect();
        for (n, piece) in pieces.iter().enumerate() {
            let ends = if n + 1 == pieces.len() { END_HEADERS } else { 0 };
            let (kind, flags) = if n == 0 { (HEADERS, flags | ends) } else { (CONTINUATION, ends) };
            self.send(&frame(kind, flags, stream, piece)).await;
        }
    }

    /// The next frame; None at the end of the connection.
    pub(super) async fn any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        within(self.0.read_exact(&mut head)).await.ok()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let mut rest = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        within(self.0.read_exact(&mut rest)).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), rest })
    }

    /// The next frame that is not about the connection's settings.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.send(&self::frame(SETTINGS, ACK, 0, b"")).await,
                SETTINGS | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame of one kind.
    pub(super) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the proxy closed the connection");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The code with which the connection ends; None if it just ends. Says nothing meanwhile.
    pub(super) async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.any().await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    /// What becomes of a stream: its status, or the code with which it, or the connection, is ended.
    pub(super) async fn outcome(&mut self) -> Result<u16, u32> {
        loop {
            let frame = self.next().await.expect("the proxy closed the connection without a word");
            match frame.kind {
                HEADERS => return Ok(frame.status()),
                RST_STREAM | GOAWAY => return Err(frame.code()),
                _ => {}
            }
        }
    }
}
