//! Just enough of HTTP/1.1's heads for programs that know whom they talk to.

const END: &[u8] = b"\r\n\r\n";

/// Where the first head in `bytes` ends: the index after its empty line.
#[must_use]
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    find(bytes, END).map(|at| at + END.len())
}

/// The value of the first field called `name` in `head`, without the spaces around it.
#[must_use]
pub fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (before, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        before.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The decimal number that `bytes` begin with.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()
}

/// Where `needle` first stands in `bytes`.
#[must_use]
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:  12 \r\n\r\nrest";

    #[test]
    fn a_field_is_found_by_its_whole_name_in_any_case() {
        assert_eq!(field(HEAD, b"content-length"), Some(&b"12"[..]));
        assert_eq!(field(HEAD, b"length"), None);
        assert_eq!(field(HEAD, b"Content"), None);
    }

    #[test]
    fn a_head_ends_after_its_empty_line() {
        assert_eq!(end_of_head(HEAD).map(|end| &HEAD[end..]), Some(&b"rest"[..]));
        assert_eq!(end_of_head(&HEAD[..30]), None);
    }

    #[test]
    fn a_number_ends_where_its_digits_end() {
        assert_eq!(number(b"1048576 HTTP/1.1"), Some(1_048_576));
        assert_eq!(number(b"x1"), None);
    }
}
