//! Why a message was refused.

use std::fmt::Display;

/// A field that cannot be accepted, and what is wrong with it: says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// The path of the field, as `services[2].weight`.
    pub field: String,
    /// What is wrong, as `must be 0 to 1,000,000, is 2,000,000`.
    pub reason: String,
}

impl Invalid {
    /// A refusal of `field`.
    pub fn new(field: impl Into<String>, reason: impl Display) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }

    /// The same refusal, seen from the message that holds the one at fault.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => outer.to_owned(),
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_from_the_inside() {
        let inner = Invalid::new("weight", "too big").within("[2]").within("services");
        assert_eq!(inner.to_string(), "services[2].weight: too big");
        assert_eq!(Invalid::new("", "missing").within("match").field, "match");
    }
}
