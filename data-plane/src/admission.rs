//! Whether a request may go on to a backend now, must wait, or is refused.

mod adaptive;
mod breaker;
mod gate;
mod rate_limit;
mod shed;

pub(crate) use self::{
    adaptive::Adaptive,
    breaker::{Breaker, Circulation, Permit},
    gate::{Full, Gate},
    rate_limit::Limits,
    shed::{Admitted, Pressure, Shed},
};
