//! WebSocket (RFC 6455) as the backend speaks it: each short frame comes back, unmasked.

/// The answer to the key that RFC 6455 section 1.3 gives as its example, which the generator always sends.
pub(crate) const ACCEPTED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Two bytes and the mask come before what a client says; longer heads are for frames that nobody sends here.
const HEAD: usize = 6;
const LENGTH: u8 = 0x7f;

/// Uses up the frames that are complete. What is said in return.
pub(crate) fn echo(input: &mut Vec<u8>) -> Vec<u8> {
    let (mut output, mut used) = (Vec::new(), 0);
    while let Some((head, rest)) = input[used..].split_first_chunk::<HEAD>() {
        let [kind, length, mask @ ..] = *head;
        let length = length & LENGTH;
        let Some(payload) = rest.get(..usize::from(length)) else { break };
        output.extend_from_slice(&[kind, length]);
        output.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        used += HEAD + payload.len();
    }
    input.drain(..used);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_come_back_unmasked_and_the_rest_waits() {
        // "Hello" and its mask: RFC 6455 section 5.7.
        let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut input = [&frame[..], &frame[..4]].concat();
        assert_eq!(echo(&mut input), [&[0x81, 5], &b"Hello"[..]].concat());
        assert_eq!(input, &frame[..4]);
        assert!(echo(&mut input).is_empty());
    }
}
