//! How objects of all kinds are named.

use std::{fmt, sync::Arc};

use crate::{Invalid, v1};

/// The level of the contract that this crate knows: `Object.level` in `object.proto`.
pub const LEVEL: u32 = 4;

/// The metadata entry of a call that names the caller: see `admin.proto`.
pub const CALLER: &str = "weir-caller";

/// What an object is. The numbers are those of `v1::ObjectKind`, and part of the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// An address that proxies accept on.
    Listener = 1,
    /// A set of backends with a policy.
    Service = 2,
    /// One address of a service.
    Backend = 3,
    /// A match and its services.
    Route = 4,
}

impl ObjectKind {
    /// Every kind, in the order in which listings show them.
    pub const ALL: [Self; 4] = [Self::Listener, Self::Service, Self::Backend, Self::Route];

    /// The word for it: `service`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Service => "service",
            Self::Backend => "backend",
            Self::Route => "route",
        }
    }

    /// As it is written in messages.
    #[must_use]
    pub fn wire(self) -> v1::ObjectKind {
        match self {
            Self::Listener => v1::ObjectKind::Listener,
            Self::Service => v1::ObjectKind::Service,
            Self::Backend => v1::ObjectKind::Backend,
            Self::Route => v1::ObjectKind::Route,
        }
    }
}

impl TryFrom<i32> for ObjectKind {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|kind| kind.wire() as i32 == wire).ok_or_else(|| {
            Invalid::new("kind", format_args!("must be LISTENER, SERVICE, BACKEND or ROUTE, not {wire}"))
        })
    }
}

/// Names one object among all. A backend's name is `service/id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name within its kind.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key of the object `name` of this kind.
    #[must_use]
    pub fn new(kind: ObjectKind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }

    /// As it is written in messages.
    #[must_use]
    pub fn wire(&self) -> v1::ObjectRef {
        v1::ObjectRef { kind: self.kind.wire() as i32, name: self.name.to_string() }
    }
}

impl TryFrom<v1::ObjectRef> for ObjectKey {
    type Error = Invalid;

    fn try_from(wire: v1::ObjectRef) -> Result<Self, Invalid> {
        let kind = ObjectKind::try_from(wire.kind)?;
        if wire.name.is_empty() {
            return Err(Invalid::new("name", "must not be empty"));
        }
        Ok(Self::new(kind, &wire.name))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
