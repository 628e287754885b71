//! HTTP/2 (RFC 9113) as the backend speaks it, by prior knowledge: every request is a unary gRPC call, and gets the
//! same answer. It need not know what the fields say, so that it has no HPACK; its own are literals.

/// What a client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Room for bodies on each stream and on the connection, so large that only long loads need more.
const STREAM_ROOM: u32 = 1 << 20;
const ROOM: u32 = 1 << 30;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
/// What a connection may be sent before it says more.
const FIRST_WINDOW: usize = 65_535;

/// Status 200 of the static table, then Content-Type (31 of it) with a literal.
const ANSWER: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// A message with one field, "Hello, World!", and its length before it.
const MESSAGE: &[u8] = b"\x00\x00\x00\x00\x0f\x0a\x0dHello, World!";
const STATUS: &[u8] = b"\x00\x0bgrpc-status\x010";

pub(crate) struct Http2 {
    greeted: bool,
    /// What may be sent to the client on all streams.
    window: usize,
    /// Streams whose answer waits for that.
    waiting: Vec<u32>,
    /// What came in since the client was last given room.
    received: u32,
}

impl Http2 {
    /// Whether this is how a client begins.
    pub(crate) fn begins(input: &[u8]) -> bool {
        input.starts_with(PREFACE)
    }

    pub(crate) fn new() -> Self {
        Self { greeted: false, window: FIRST_WINDOW, waiting: Vec::new(), received: 0 }
    }

    /// Uses up the frames that are complete. What is said in return.
    pub(crate) fn answer(&mut self, input: &mut Vec<u8>) -> Vec<u8> {
        let (mut output, mut used) = (Vec::new(), 0);
        if !self.greeted {
            self.greeted = true;
            used = PREFACE.len();
            let room = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &STREAM_ROOM.to_be_bytes()].concat();
            frame(&mut output, SETTINGS, 0, 0, &room);
            frame(&mut output, WINDOW_UPDATE, 0, 0, &ROOM.to_be_bytes());
        }
        while let Some((head, rest)) = input[used..].split_first_chunk::<FRAME_HEAD>() {
            let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = *head;
            let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            self.take(kind, flags, u32::from_be_bytes([s1, s2, s3, s4]), payload, &mut output);
            used += FRAME_HEAD + length;
        }
        input.drain(..used);
        self.send_waiting(&mut output);
        output
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], output: &mut Vec<u8>) {
        match kind {
            SETTINGS if flags & ACK == 0 => frame(output, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(output, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().copied().map_or(0, u32::from_be_bytes);
                self.window += usize::try_from(more).unwrap_or(0);
            }
            HEADERS | DATA => {
                if kind == DATA {
                    self.received += u32::try_from(payload.len()).unwrap_or(ROOM);
                    if self.received > ROOM / 2 {
                        frame(output, WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
                        self.received = 0;
                    }
                }
                if flags & END_STREAM != 0 {
                    self.waiting.push(stream);
                }
            }
            _ => {}
        }
    }

    /// Answers as many as there is room for.
    fn send_waiting(&mut self, output: &mut Vec<u8>) {
        let room = self.window / MESSAGE.len();
        for stream in self.waiting.drain(..room.min(self.waiting.len())) {
            self.window -= MESSAGE.len();
            frame(output, HEADERS, END_HEADERS, stream, ANSWER);
            frame(output, DATA, 0, stream, MESSAGE);
            frame(output, HEADERS, END_HEADERS | END_STREAM, stream, STATUS);
        }
    }
}

fn frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    output.extend_from_slice(&length[1..]);
    output.extend_from_slice(&[kind, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
    output.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(stream: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(&mut bytes, HEADERS, END_HEADERS, stream, b"\x83");
        frame(&mut bytes, DATA, END_STREAM, stream, b"hello");
        bytes
    }

    fn answers(output: &[u8]) -> usize {
        output.windows(STATUS.len()).filter(|window| *window == STATUS).count()
    }

    #[test]
    fn a_call_is_answered_when_its_body_has_ended() {
        let (mut http2, mut input) = (Http2::new(), [PREFACE, &call(1)].concat());
        let end = input.split_off(input.len() - 1);
        assert_eq!(answers(&http2.answer(&mut input)), 0);
        input.extend(end);
        assert_eq!(answers(&http2.answer(&mut input)), 1);
        assert!(input.is_empty());
    }

    #[test]
    fn answers_wait_for_room() {
        let room = FIRST_WINDOW / MESSAGE.len();
        let (mut http2, mut input) = (Http2::new(), PREFACE.to_vec());
        (0..=room).for_each(|n| input.extend(call(u32::try_from(n).unwrap() * 2 + 1)));
        assert_eq!(answers(&http2.answer(&mut input)), room);
        frame(&mut input, WINDOW_UPDATE, 0, 0, &1_000_u32.to_be_bytes());
        assert_eq!(answers(&http2.answer(&mut input)), 1);
    }
}
