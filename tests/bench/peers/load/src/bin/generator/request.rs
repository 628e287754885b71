//! What the generator asks.

use weir_bench_load::chunked;

const FIELDS: &str = "host: bench.local\r\nuser-agent: generator\r\n";

/// The body of each request.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    None,
    Sized(usize),
    Chunked(usize),
}

impl Body {
    /// Nothing, `1024` or `chunked:1024`.
    pub(crate) fn parse(words: &[String]) -> Option<Self> {
        let [word] = words else { return words.is_empty().then_some(Self::None) };
        if let Some(size) = word.strip_prefix("chunked:") {
            return size.parse().ok().map(Self::Chunked);
        }
        word.parse().ok().map(|size| if size == 0 { Self::None } else { Self::Sized(size) })
    }
}

/// A request for `path`, with this body if there is one.
pub(crate) fn request(path: &str, body: Body) -> Vec<u8> {
    let (method, field, body) = match body {
        Body::None => ("GET", "accept: */*".to_owned(), Vec::new()),
        Body::Sized(size) => ("POST", format!("content-length: {size}"), vec![b'p'; size]),
        Body::Chunked(size) => ("POST", "transfer-encoding: chunked".to_owned(), chunked(size)),
    };
    let mut request = format!("{method} {path} HTTP/1.1\r\n{FIELDS}{field}\r\n\r\n").into_bytes();
    request.extend(body);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(word: &str) -> String {
        String::from_utf8(request("/", Body::parse(&[word.to_owned()]).unwrap())).unwrap()
    }

    #[test]
    fn a_body_comes_with_its_length_or_in_chunks() {
        assert!(posted("3").ends_with("content-length: 3\r\n\r\nppp"));
        assert!(posted("chunked:3").ends_with("transfer-encoding: chunked\r\n\r\n3\r\nxxx\r\n0\r\n\r\n"));
        assert!(posted("0").starts_with("GET / "));
        assert!(Body::parse(&["some".to_owned()]).is_none());
    }
}
