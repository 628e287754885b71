//! What a request line asks for: RFC 9112 section 3.2.

use std::ops::Range;

use http::Method;

use crate::{
    message::{RequestHead, Scheme, is_target},
    reason::Reason,
};

/// Notes the target, which stands at `at` in `text` and in what `head` has taken in. `head.method` is set.
pub(super) fn read(text: &[u8], at: Range<usize>, head: &mut RequestHead) -> Result<(), Reason> {
    let target = &text[at.clone()];
    if target.is_empty() || !is_target(target) {
        return Err(Reason::TargetInvalid);
    }
    match target {
        _ if head.method == Method::CONNECT => head.set_authority_at(at),
        [b'/', ..] => head.set_target_at(at),
        b"*" if head.method == Method::OPTIONS => head.set_target_at(at),
        _ => read_absolute(target, at.start, head)?,
    }
    Ok(())
}

fn read_absolute(target: &[u8], start: usize, head: &mut RequestHead) -> Result<(), Reason> {
    let scheme_len = target.iter().position(|byte| *byte == b':').ok_or(Reason::TargetInvalid)?;
    let (scheme, rest) = target.split_at(scheme_len);
    let rest = rest.strip_prefix(b"://").ok_or(Reason::TargetInvalid)?;
    head.scheme = Some(match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
        _ => return Err(Reason::SchemeUnsupported),
    });
    let len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if len == 0 {
        return Err(Reason::TargetInvalid);
    }
    let authority = start + scheme_len + 3;
    head.set_authority_at(authority..authority + len);
    match &rest[len..] {
        [] if head.method == Method::OPTIONS => head.set_target("*"),
        [] => head.set_target("/"),
        [b'/', ..] => head.set_target_at(authority + len..start + target.len()),
        query => head.set_target(&format!("/{}", String::from_utf8_lossy(query))),
    }
    Ok(())
}
