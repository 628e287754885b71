//! What of a request decides where it goes, as one number.

use std::{net::IpAddr, sync::Arc, time::Duration};

use weir_proto::HashKey;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::cookie::{self, Given};
use crate::message::{Name, RequestHead};

/// The keys of a policy: the first one that a request has counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct HashKeys(Box<[Key]>);

/// Where the key of a request is.
#[derive(Debug, Clone)]
enum Key {
    Field { name: Name, text: Arc<str> },
    Cookie { name: Arc<str>, ttl: Option<Duration> },
    ClientAddress,
    QueryParameter(Arc<str>),
    Path,
}

/// The key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) hash: u64,
    /// Whether another request like it has the same; or else it is random.
    pub(crate) lasts: bool,
    /// What the answer must give the client so that it lasts.
    pub(crate) cookie: Option<NewCookie>,
}

/// A key for a client that had none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewCookie {
    name: Arc<str>,
    value: u64,
    ttl: Duration,
}

impl HashKeys {
    /// Nothing of a request decides if there are none.
    pub(crate) fn new(keys: &[HashKey]) -> Self {
        let compile = |key: &HashKey| match key {
            HashKey::Header(text) => Key::Field { name: Name::of(text.as_bytes()), text: Arc::clone(text) },
            HashKey::Cookie { name, ttl } => Key::Cookie { name: Arc::clone(name), ttl: *ttl },
            HashKey::ClientAddress => Key::ClientAddress,
            HashKey::QueryParameter(name) => Key::QueryParameter(Arc::clone(name)),
            HashKey::Path => Key::Path,
        };
        Self(keys.iter().map(compile).collect())
    }

    /// The key of a request of this client. Random if it has nothing of what is asked for; 0 if nothing is.
    pub(crate) fn key(&self, head: &RequestHead, client: IpAddr) -> Keyed {
        for key in &self.0 {
            if let Some(hash) = key.hash(head, client) {
                return Keyed { hash, lasts: true, cookie: None };
            }
            if let Key::Cookie { name, ttl: Some(ttl) } = key {
                let cookie = NewCookie { name: Arc::clone(name), value: fastrand::u64(..), ttl: *ttl };
                return Keyed { hash: cookie.hash(), lasts: false, cookie: Some(cookie) };
            }
        }
        let hash = if self.0.is_empty() { 0 } else { fastrand::u64(..) };
        Keyed { hash, lasts: false, cookie: None }
    }
}

impl Key {
    fn hash(&self, head: &RequestHead, client: IpAddr) -> Option<u64> {
        match self {
            Self::Field { name: unknown @ (Name::Other | Name::Alias), text } => {
                let is_it = |spelling: &[u8]| spelling.eq_ignore_ascii_case(text.as_bytes());
                let lines =
                    head.fields.iter().filter(|field| field.name == *unknown && is_it(field.spelling));
                hash_of_all(lines.map(|field| field.value))
            }
            Self::Field { name, .. } => hash_of_all(head.fields.all(*name)),
            Self::Cookie { name, .. } => cookie::value(&head.fields, name).map(xxh3_64),
            Self::ClientAddress => Some(match client.to_canonical() {
                IpAddr::V4(address) => xxh3_64(&address.octets()),
                IpAddr::V6(address) => xxh3_64(&address.octets()),
            }),
            Self::QueryParameter(name) => {
                parameter(head.target(), name).map(|value| xxh3_64(value.as_bytes()))
            }
            Self::Path => Some(xxh3_64(head.path().as_bytes())),
        }
    }
}

impl NewCookie {
    /// As `Set-Cookie` has it.
    pub(crate) fn set_cookie(&self, secure: bool) -> String {
        self.given().set_cookie(secure)
    }

    /// What the key will be when the client sends it.
    fn hash(&self) -> u64 {
        let mut text = [0; 16];
        for (at, digit) in text.iter_mut().enumerate() {
            let nibble = (self.value >> (60 - 4 * at)) & 0xf;
            *digit = b"0123456789abcdef"[usize::try_from(nibble).unwrap_or(0)];
        }
        xxh3_64(&text)
    }

    fn given(&self) -> Given<'_> {
        let ttl = (self.ttl > Duration::ZERO).then_some(self.ttl);
        Given { name: &self.name, value: self.value, path: "/", ttl }
    }
}

/// The hash of all lines of a field, in their order. None if there are none.
fn hash_of_all<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
    lines.fold(None, |before, line| Some(xxh3_64_with_seed(line, before.unwrap_or(0))))
}

/// The value of a parameter of the query, as it was sent; empty if it has none. Of several, the first.
fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name).then_some(""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn head(target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_target(target);
        for (name, value) in fields {
            head.fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        head
    }

    /// The key if it lasts.
    fn key(keys: &[HashKey], head: &RequestHead) -> Option<u64> {
        let keyed = HashKeys::new(keys).key(head, CLIENT);
        keyed.lasts.then_some(keyed.hash)
    }

    #[test]
    fn all_lines_of_a_field_count_and_their_order() {
        for name in ["x-user", "forwarded"] {
            let of = |lines: &[&str]| {
                let lines: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
                key(&[HashKey::Header(name.into())], &head("/", &lines))
            };
            let keys =
                [of(&["a"]), of(&["b"]), of(&["a", "b"]), of(&["b", "a"]), of(&["ab"]), of(&["", "a"])];
            for (i, a) in keys.iter().enumerate() {
                assert!(a.is_some() && keys[..i].iter().all(|b| a != b), "{name} {i}");
            }
            assert_eq!(of(&[]), None);
            let upper = head("/", &[(&name.to_uppercase(), "a"), ("x-other", "b")]);
            assert_eq!(key(&[HashKey::Header(name.into())], &upper), keys[0]);
        }
    }

    #[test]
    fn a_parameter_counts_as_it_was_sent() {
        let of = |target| key(&[HashKey::QueryParameter("id".into())], &head(target, &[]));
        assert_eq!(of("/x?a=1&id=%41&id=2"), Some(xxh3_64(b"%41")));
        assert_eq!(
            (of("/?id"), of("/?id="), of("/?id==")),
            (of("/?id="), Some(xxh3_64(b"")), Some(xxh3_64(b"=")))
        );
        assert!(["/", "/?", "/?ID=1", "/id=1", "/?xid=1&i=d"].into_iter().all(|target| of(target).is_none()));
    }

    #[test]
    fn the_path_has_no_query_and_the_client_no_port_and_one_spelling() {
        assert_eq!(key(&[HashKey::Path], &head("/a?b", &[])), Some(xxh3_64(b"/a")));
        let of = |client| HashKeys::new(&[HashKey::ClientAddress]).key(&head("/", &[]), client).hash;
        assert_eq!(of("::ffff:192.0.2.1".parse().unwrap()), of(CLIENT));
        assert_ne!(of("192.0.2.2".parse().unwrap()), of(CLIENT));
    }

    #[test]
    fn the_first_key_that_the_request_has_counts() {
        let keys = [HashKey::Header("x-user".into()), HashKey::QueryParameter("id".into())];
        assert_eq!(key(&keys, &head("/?id=1", &[("x-user", "a")])), Some(xxh3_64(b"a")));
        assert_eq!(key(&keys, &head("/?id=1", &[])), Some(xxh3_64(b"1")));
    }

    #[test]
    fn a_request_without_any_is_balanced_at_random() {
        let keys = HashKeys::new(&[HashKey::Header("x-user".into())]);
        let (a, b) = (keys.key(&head("/", &[]), CLIENT), keys.key(&head("/", &[]), CLIENT));
        assert!(a.hash != b.hash && !a.lasts && a.cookie.is_none());
    }

    #[test]
    fn a_client_without_the_cookie_gets_one_that_leads_back() {
        let keys = [HashKey::Cookie { name: "k".into(), ttl: Some(Duration::from_mins(1)) }];
        let first = HashKeys::new(&keys).key(&head("/", &[("cookie", "other=1")]), CLIENT);
        let given = first.cookie.unwrap().set_cookie(false);
        let (pair, attributes) = given.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=60");
        assert_eq!(key(&keys, &head("/", &[("cookie", pair)])), Some(first.hash));
        let session = [HashKey::Cookie { name: "k".into(), ttl: Some(Duration::ZERO) }];
        let given = HashKeys::new(&session).key(&head("/", &[]), CLIENT).cookie.unwrap().set_cookie(true);
        assert!(given.ends_with("; SameSite=Lax; Secure"), "{given}");
        let read_only = [HashKey::Cookie { name: "k".into(), ttl: None }, HashKey::Path];
        assert_eq!(key(&read_only, &head("/", &[])), Some(xxh3_64(b"/")), "this one is never given");
    }
}
