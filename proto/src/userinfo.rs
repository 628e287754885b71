//! Credentials in addresses: RFC 3986 section 3.2.1. Whoever shows an address shows it without them.

/// A URL, or an authority alone, without what stands before the `@` of its authority.
///
/// ```
/// assert_eq!(weir_proto::without_userinfo("http://me:secret@host:80/a@b"), "http://host:80/a@b");
/// assert_eq!(weir_proto::without_userinfo("me:secret@host"), "host");
/// ```
#[must_use]
pub fn without_userinfo(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    // What is no good authority may have the marks of a path before its `@`.
    let end = match rest.find(['/', '?', '#']) {
        Some(end) if rest[..end].contains('@') || start > 0 => end,
        _ => rest.len(),
    };
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_before_an_at_sign_is_shown() {
        for (text, shown) in [
            ("http://me:secret@web:80/", "http://web:80/"),
            ("http://me:sec@ret@web", "http://web"),
            ("me:secret@web", "web"),
            ("me:sec/ret@web", "web"),
            ("me@web/a@b", "web/a@b"),
            ("http://web/a@b", "http://web/a@b"),
            ("http://web?a@b", "http://web?a@b"),
            ("web:80", "web:80"),
            ("@", ""),
            ("", ""),
        ] {
            assert_eq!(without_userinfo(text), shown, "{text}");
        }
    }
}
