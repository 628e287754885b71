//! Whether a request may go on to a backend now, must wait, or is refused.

mod gate;

pub(crate) use self::gate::{Full, Gate};
