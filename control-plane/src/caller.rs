//! Who asks for something: for the history and the audit log.
//!
//! The name is what the caller says of itself; once callers prove who they are, what they prove takes its place here.

use std::{fmt, net::SocketAddr, sync::Arc};

use weir_proto::v1;

/// Who calls, and from where; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    name: Arc<str>,
    address: Option<SocketAddr>,
}

impl Caller {
    /// Somebody who says this of himself, at that address.
    pub(crate) fn new(name: &str, address: Option<SocketAddr>) -> Self {
        Self { name: name.into(), address }
    }

    /// The control plane itself, for what nobody asked for.
    pub(crate) fn own() -> Self {
        Self::new("", None)
    }

    /// As it is told and kept.
    pub(crate) fn wire(&self) -> v1::Caller {
        v1::Caller {
            name: self.name.to_string(),
            address: self.address.map_or_else(String::new, |address| address.to_string()),
        }
    }
}

impl fmt::Display for Caller {
    /// For people: `alice@laptop (10.0.0.9:41234)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.name, self.address) {
            ("", None) => f.write_str("the control plane"),
            ("", Some(address)) => write!(f, "somebody at {address}"),
            (name, None) => f.write_str(name),
            (name, Some(address)) => write!(f, "{name} ({address})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_who_it_was() {
        let at = SocketAddr::from(([10, 0, 0, 9], 4000));
        assert_eq!(Caller::new("alice@laptop", Some(at)).to_string(), "alice@laptop (10.0.0.9:4000)");
        assert_eq!(Caller::new("", Some(at)).to_string(), "somebody at 10.0.0.9:4000");
        assert_eq!(Caller::own().to_string(), "the control plane");
        assert_eq!(Caller::own().wire(), v1::Caller::default());
    }
}
