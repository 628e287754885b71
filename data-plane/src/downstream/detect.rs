//! Which protocol a connection speaks: what was agreed on under TLS, or what it begins with.

use weir_proto::ListenerProtocol;

use crate::stream::Stream;

/// What every HTTP/2 connection begins with: RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is known of a connection's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Http1,
    Http2,
    /// Its first bytes will tell.
    Not,
}

/// Before anything was read. A TLS client that agreed on nothing speaks HTTP/1.
pub(super) fn beforehand(setting: ListenerProtocol, stream: &Stream) -> Known {
    match (setting, stream) {
        (_, Stream::Tls(tls)) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => Known::Http2,
        (ListenerProtocol::Http1, _) | (ListenerProtocol::Auto, Stream::Tls(_)) => Known::Http1,
        (ListenerProtocol::Http2, _) => Known::Http2,
        (ListenerProtocol::Auto, Stream::Plain(_)) => Known::Not,
    }
}

/// By what the connection begins with, as far as it has come.
pub(super) fn by_beginning(read: &[u8]) -> Known {
    if read.starts_with(PREFACE) {
        Known::Http2
    } else if PREFACE.starts_with(read) {
        Known::Not
    } else {
        Known::Http1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_preface_is_http2() {
        for (read, expected) in [
            ("", Known::Not),
            ("P", Known::Not),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", Known::Not),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Known::Http2),
            ("PO", Known::Http1),
            ("GET / HTTP/1.1\r\n", Known::Http1),
            ("PRI * HTTP/1.1\r\n", Known::Http1),
        ] {
            assert_eq!(by_beginning(read.as_bytes()), expected, "{read}");
        }
    }
}
