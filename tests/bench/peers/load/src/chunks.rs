//! Bodies in chunks.

/// How long each chunk is.
const CHUNK: usize = 1_024;

/// A body of `size` bytes in chunks, with the last one.
#[must_use]
pub fn chunked(size: usize) -> Vec<u8> {
    let whole = vec![b'x'; size];
    let mut bytes = Vec::with_capacity(size + size / 64 + 16);
    for chunk in whole.chunks(CHUNK) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_say_their_length_and_the_last_is_empty() {
        let bytes = chunked(CHUNK + 2);
        assert!(bytes.starts_with(b"400\r\nxx"));
        assert!(bytes.ends_with(b"x\r\n2\r\nxx\r\n0\r\n\r\n"));
        assert_eq!(chunked(0), b"0\r\n\r\n");
    }
}
