//! HTTP/1 once more, as slow and simple as can be: what the codec is held to.

use http::{Method, StatusCode};

use super::Framing;

/// What may be said in a head.
pub(super) struct Limits {
    pub(super) line: usize,
    pub(super) fields: usize,
}

/// A head in its parts, as characters of Latin-1.
pub(super) struct Head {
    pub(super) first: String,
    pub(super) fields: Vec<(String, String)>,
    /// Bytes of it.
    pub(super) len: usize,
}

/// How the body of the request ends that `text` begins with, if it is one.
pub(super) fn request(text: &[u8], limits: &Limits) -> Option<(Head, Framing)> {
    let skipped = if text.starts_with(b"\r\n") { 2 } else { 0 };
    let mut head = head(&text[skipped..], limits)?;
    head.len += skipped;
    let [method, target, version] = head.first.split(' ').collect::<Vec<_>>()[..] else { return None };
    let fits = is_token(method)
        && method != "PRI"
        && is_target(method, target)
        && is_version(version)
        && head.first.len() <= limits.line;
    let framing = framing(&head, version, Framing::Empty).filter(|_| fits)?;
    Some((head, framing))
}

/// How the body of the response to `method` ends that `text` begins with, if it is one.
pub(super) fn response(text: &[u8], method: &Method, limits: &Limits) -> Option<(Head, Framing)> {
    let head = head(text, limits)?;
    let mut parts = head.first.splitn(3, ' ');
    let (version, status) = (parts.next()?, parts.next()?);
    if !is_version(version) || status.len() != 3 || !is_number(status) {
        return None;
    }
    let status = StatusCode::from_bytes(status.as_bytes()).ok().filter(|status| status.as_u16() < 600)?;
    let framing = framing(&head, version, Framing::UntilClose)?;
    let bodiless = *method == Method::HEAD || matches!(status.as_u16(), 100..200 | 204 | 304);
    Some((head, if bodiless { Framing::Empty } else { framing }))
}

/// The data of the body in chunks that `text` begins with, and its length with all its framing.
pub(super) fn chunked(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut at, mut extensions) = (Vec::new(), 0, 0);
    loop {
        let len = find(&text[at..], b"\r\n")?;
        let line = latin1(&text[at..at + len]);
        at += len + 2;
        let digits = line.split(';').next()?;
        extensions += len - digits.chars().count();
        let good = digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits.len() <= 16;
        let rest = &line[digits.len()..];
        if !good || extensions > 4096 || !are_extensions(rest) {
            return None;
        }
        let size = i64::from_str_radix(digits, 16).ok().and_then(|size| usize::try_from(size).ok())?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(text[at..].get(..size)?);
        at += size;
        if !text[at..].starts_with(b"\r\n") {
            return None;
        }
        at += 2;
    }
    let trailers = if text[at..].starts_with(b"\r\n") { 2 } else { find(&text[at..], b"\r\n\r\n")? + 4 };
    let lines = latin1(&text[at..at + trailers - 2]);
    let lines: Vec<_> = lines.split_terminator("\r\n").map(field).collect::<Option<_>>()?;
    (lines.len() <= 100 && trailers <= 32 * 1024).then_some((data, at + trailers))
}

/// Whether a text is nothing but `;name`, `;name=value`, `;name="value"`.
fn are_extensions(text: &str) -> bool {
    let mut left = text;
    while !left.is_empty() {
        let Some(rest) = left.trim_start_matches(' ').strip_prefix(';') else { return false };
        let rest = rest.trim_start_matches(' ');
        let name = rest.find(|char: char| !is_token(&char.to_string())).unwrap_or(rest.len());
        left = &rest[name..];
        if let Some(value) = left.trim_start_matches(' ').strip_prefix('=') {
            let value = value.trim_start_matches(' ');
            let quoted = value.strip_prefix('"').map(|inner| {
                let mut escaped = false;
                let end = inner.find(|char| {
                    let ends = char == '"' && !escaped;
                    escaped = char == '\\' && !escaped;
                    ends
                });
                end.map_or(0, |end| end + 2)
            });
            let token = || value.find(|char: char| !is_token(&char.to_string())).unwrap_or(value.len());
            let len = quoted.unwrap_or_else(token);
            if len == 0 {
                return false;
            }
            left = &value[len..];
        }
        if name == 0 {
            return false;
        }
    }
    !text.contains(|char: char| char.is_ascii_control())
}

fn head(text: &[u8], limits: &Limits) -> Option<Head> {
    let len = find(text, b"\r\n\r\n")? + 4;
    let lines = latin1(&text[..len - 4]);
    let mut lines = lines.split("\r\n");
    let first = lines.next()?.to_owned();
    let is_odd = |line: &str| {
        let coding = line.to_ascii_lowercase();
        let coding = coding.strip_prefix("transfer-encoding:").unwrap_or_default();
        coding.trim_start_matches(' ') != coding.trim()
    };
    if lines.clone().any(is_odd) {
        return None;
    }
    let fields: Vec<_> = lines.map(field).collect::<Option<_>>()?;
    (is_text(&first) && fields.len() <= limits.fields).then_some(Head { first, fields, len })
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    (is_token(name) && is_text(value)).then(|| (name.to_owned(), plain(name, value).to_owned()))
}

fn framing(head: &Head, version: &str, without: Framing) -> Option<Framing> {
    let all = |wanted: &str| {
        let fields = head.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        fields.map(|(_, value)| value.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some(without),
        ([length], []) if is_number(length) => {
            length.parse::<i64>().ok()?.try_into().ok().map(Framing::Sized)
        }
        ([], [coding]) if coding == "chunked" && version != "HTTP/1.0" => Some(Framing::Chunked),
        _ => None,
    }
}

/// A length as everybody says it.
pub(super) fn plain<'v>(name: &str, value: &'v str) -> &'v str {
    if !name.eq_ignore_ascii_case("content-length") || !is_number(value) {
        return value;
    }
    match value.trim_start_matches('0') {
        "" => "0",
        number => number,
    }
}

fn is_version(text: &str) -> bool {
    matches!(text.as_bytes(), [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'])
}

fn is_target(method: &str, target: &str) -> bool {
    if target.is_empty() || target.chars().any(|char| !('!'..='~').contains(&char) || char == '#') {
        return false;
    }
    let (scheme, rest) = target.split_once("://").unwrap_or_default();
    let is_absolute = matches!(&*scheme.to_ascii_lowercase(), "http" | "https")
        && !rest.is_empty()
        && !rest.starts_with(['/', '?']);
    method == "CONNECT" || target.starts_with('/') || (target == "*" && method == "OPTIONS") || is_absolute
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char))
}

fn is_text(text: &str) -> bool {
    text.chars().all(|char| char == '\t' || !char.is_ascii_control())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_digit())
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
