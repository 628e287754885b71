//! Numbers that name something, each of its own type.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $format:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

number! {
    /// Counts the changes of the configuration within an [`Epoch`]. 0 is the empty configuration.
    Revision, "{}"
}
number! {
    /// Names a store's lineage. Random; 0 is never one.
    Epoch, "{:016x}"
}
number! {
    /// Names a lease. Random; 0 is never one.
    LeaseId, "{:016x}"
}

impl Revision {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
