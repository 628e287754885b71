//! Environment variables that two daemons read under one name and in different meanings: each has a name for its own now,
//! and the old one goes on to work.

use std::{env, ffi::OsStr};

/// The default of a setting that was read from `old`: what that says, else `default`.
#[must_use]
pub fn renamed(old: &str, default: &'static str) -> &'static str {
    chosen(env::var_os(old).as_deref(), default)
}

/// Warns of each old name that is in use, given with the new one.
pub fn warn_of_renamed(names: &[(&str, &str)]) {
    for (old, new) in names {
        if env::var_os(old).is_some() && env::var_os(new).is_none() {
            tracing::warn!(
                "{old} is called {new} now: the other daemon reads the old name in another meaning"
            );
        }
    }
}

/// Lives as long as the process, as all defaults do.
fn chosen(old: Option<&OsStr>, default: &'static str) -> &'static str {
    match old.and_then(OsStr::to_str) {
        Some(old) if !old.is_empty() => Box::leak(old.to_owned().into_boxed_str()),
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_name_counts_where_it_says_something() {
        assert_eq!(chosen(Some(OsStr::new("[::1]:80")), "0.0.0.0:80"), "[::1]:80");
        assert_eq!((chosen(Some(OsStr::new("")), "a"), chosen(None, "a")), ("a", "a"));
    }
}
