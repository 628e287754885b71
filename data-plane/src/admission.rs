//! Whether a request may go on to a backend now, must wait, or is refused.

mod adaptive;
mod breaker;
mod gate;
mod rate_limit;
mod shares;
mod shed;
mod stalls;

pub(crate) use self::{
    adaptive::Adaptive,
    breaker::{Breaker, Circulation, Permit},
    gate::{Full, Gate, Turn},
    rate_limit::Limits,
    shares::{Share, Shares},
    shed::{Admitted, Pressure, Shed},
    stalls::{InLine, Stalled, Stalls},
};
