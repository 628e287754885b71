//! What of a request is hashed: `HashKey` in `config.proto`.

use std::{sync::Arc, time::Duration};

use super::DAY;
use crate::{Invalid, bounds, bounds::Bounded, field, v1};

/// The most keys of one policy.
const MAX_KEYS: usize = 8;

/// What of a request is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A field, its name in lower case.
    Header(Arc<str>),
    /// A cookie. With a time a request without it is given one, for so long (0: until the client ends).
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// How long one that we give lasts.
        ttl: Option<Duration>,
    },
    /// The client's address without the port.
    ClientAddress,
    /// A parameter of the query.
    QueryParameter(Arc<str>),
    /// The path.
    Path,
}

impl TryFrom<v1::HashKey> for HashKey {
    type Error = Invalid;

    fn try_from(wire: v1::HashKey) -> Result<Self, Invalid> {
        use v1::hash_key::Key;
        match wire.key {
            None => Err(Invalid::new("", "names no key that this version knows")),
            Some(Key::Header(name)) => field::name(&name).map(Self::Header).map_err(|e| e.within("header")),
            Some(Key::Cookie(cookie)) => cookie_key(&cookie).map_err(|e| e.within("cookie")),
            Some(Key::ClientAddress(true)) => Ok(Self::ClientAddress),
            Some(Key::ClientAddress(false)) => Err(always_true("client_address")),
            Some(Key::QueryParameter(name)) => {
                field::parameter(&name).map(Self::QueryParameter).map_err(|e| e.within("query_parameter"))
            }
            Some(Key::Path(true)) => Ok(Self::Path),
            Some(Key::Path(false)) => Err(always_true("path")),
        }
    }
}

/// The keys of a policy: without any, the client's address.
pub(super) fn list(wire: Vec<v1::HashKey>) -> Result<Vec<HashKey>, Invalid> {
    let mut keys = bounds::list("hash_keys", wire, MAX_KEYS, HashKey::try_from)?;
    if keys.is_empty() {
        keys.push(HashKey::ClientAddress);
    }
    Ok(keys)
}

/// The refusal of a choice that was made and denied at once.
pub(super) fn always_true(field: &str) -> Invalid {
    Invalid::new(field, "must be true; leave it out to choose something else")
}

fn cookie_key(cookie: &v1::HashCookie) -> Result<HashKey, Invalid> {
    let ttl = match cookie.ttl {
        None => None,
        ttl => Some(ttl.bounded("ttl", Duration::ZERO, Duration::ZERO..=366 * DAY)?),
    };
    Ok(HashKey::Cookie { name: field::token(&cookie.name).map_err(|e| e.within("name"))?, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration_to_wire;
    use v1::hash_key::Key;

    fn parse(key: Key) -> Result<HashKey, String> {
        let key = v1::HashKey { key: Some(key) };
        list(vec![key]).map(|keys| keys[0].clone()).map_err(|e| e.to_string())
    }

    #[test]
    fn fields_are_looked_for_in_lower_case_and_cookies_as_they_are_written() {
        assert_eq!(parse(Key::Header("X-User".into())), Ok(HashKey::Header("x-user".into())));
        let cookie = |name: &str, ttl: Option<Duration>| {
            parse(Key::Cookie(v1::HashCookie { name: name.into(), ttl: ttl.map(duration_to_wire) }))
        };
        let key = |ttl| Ok(HashKey::Cookie { name: "SID".into(), ttl });
        assert_eq!(cookie("SID", None), key(None));
        assert_eq!(cookie("SID", Some(Duration::ZERO)), key(Some(Duration::ZERO)));
        assert_eq!(cookie("SID", Some(366 * DAY)), key(Some(366 * DAY)));
        assert_eq!(
            cookie("SID", Some(367 * DAY)),
            Err("hash_keys[0].cookie.ttl: must be 0ns to 31622400s, is 31708800s".to_owned())
        );
        assert_eq!(cookie("", None), Err("hash_keys[0].cookie.name: must not be empty".to_owned()));
    }

    #[test]
    fn a_choice_must_say_something() {
        let refused =
            Err("hash_keys[0].path: must be true; leave it out to choose something else".to_owned());
        assert_eq!((parse(Key::Path(true)), parse(Key::Path(false))), (Ok(HashKey::Path), refused));
        assert_eq!(parse(Key::ClientAddress(true)), Ok(HashKey::ClientAddress));
        assert!(parse(Key::ClientAddress(false)).is_err());
        let nothing = list(vec![v1::HashKey { key: None }]).map_err(|e| e.to_string());
        assert_eq!(nothing, Err("hash_keys[0]: names no key that this version knows".to_owned()));
    }

    #[test]
    fn no_keys_are_the_clients_address() {
        assert_eq!(list(Vec::new()), Ok(vec![HashKey::ClientAddress]));
        let path = || v1::HashKey { key: Some(Key::Path(true)) };
        let nine = list((0..9).map(|_| path()).collect()).map_err(|e| e.to_string());
        assert_eq!(nine, Err("hash_keys: must be at most 8, are 9".to_owned()));
    }
}
