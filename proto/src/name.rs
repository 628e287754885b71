//! Names, each of its own type, valid by construction and cheap to clone.

use std::{borrow::Borrow, fmt, sync::Arc};

use crate::Invalid;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Invalid;

            /// The error's field is empty: the caller knows where the name stood.
            fn try_from(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(text).map(|()| Self(text.into())).map_err(|reason| Invalid::new("", reason))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A service's name: a DNS name in lower case.
    ServiceName, dns_name
}
name! {
    /// A backend's name within its service.
    BackendId, backend_id
}
name! {
    /// A listener's name: one DNS label.
    ListenerName, |text| label(text, false)
}
name! {
    /// A route's name: visible ASCII.
    RouteName, |text| visible(text, 253)
}
name! {
    /// A proxy's name, stable over its restarts.
    ProxyId, proxy_id
}

/// Up to `most` visible ASCII characters, at least one.
pub(crate) fn visible(text: &str, most: usize) -> Result<(), String> {
    of(text, most, "visible ASCII characters", |c| c.is_ascii_graphic())
}

/// Labels joined by dots, 253 characters in all.
pub(crate) fn dns_name(text: &str) -> Result<(), String> {
    length(text, 253)?;
    text.split('.').try_for_each(|part| label(part, true))
}

fn backend_id(text: &str) -> Result<(), String> {
    of(text, 253, "letters, digits and . - _ : [ ] %", |c| {
        c.is_ascii_alphanumeric() || b".-_:[]%".contains(&c)
    })
}

fn proxy_id(text: &str) -> Result<(), String> {
    of(text, 253, "letters, digits and . - _", |c| c.is_ascii_alphanumeric() || b".-_".contains(&c))
}

fn label(text: &str, underscore: bool) -> Result<(), String> {
    let inner =
        |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || (underscore && c == b'_');
    let allowed = if underscore { "a-z, 0-9, - and _" } else { "a-z, 0-9 and -" };
    if text.is_empty() {
        return Err("must not be empty, nor have an empty label".to_owned());
    }
    if text.len() > 63 {
        return Err(format!("a label must have at most 63 characters, {} are too many", text.len()));
    }
    if let Some(bad) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(inner)) {
        return Err(format!("may consist of {allowed} only, not of {bad:?}"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("a label must neither start nor end with -".to_owned());
    }
    Ok(())
}

fn of(text: &str, most: usize, what: &str, allowed: impl Fn(u8) -> bool) -> Result<(), String> {
    length(text, most)?;
    match text.chars().find(|c| !u8::try_from(*c).is_ok_and(&allowed)) {
        Some(bad) => Err(format!("may consist of {what} only, not of {bad:?}")),
        None => Ok(()),
    }
}

fn length(text: &str, most: usize) -> Result<(), String> {
    match text.len() {
        0 => Err("must not be empty".to_owned()),
        n if n > most => Err(format!("must have at most {most} characters, {n} are too many")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_dns_names() {
        for good in ["web", "web.shop", "a-b", "a_b", "1", &"a".repeat(63)] {
            assert!(ServiceName::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "web.", "Web", "-a", "a-", "a b", "ä", "a/b", &"a".repeat(64), &"a.".repeat(127)]
        {
            assert!(ServiceName::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn backend_ids_take_addresses_but_no_slash() {
        for good in ["10.0.0.1:80", "[::1]:80", "node-1"] {
            assert!(BackendId::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a b", "ü"] {
            assert!(BackendId::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_reason_says_what_would_be_right() {
        let reason = ServiceName::try_from("Web").map_err(|e| e.reason);
        assert_eq!(reason, Err("may consist of a-z, 0-9, - and _ only, not of 'W'".to_owned()));
    }
}
