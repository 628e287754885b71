//! The backend's part in an answer that is on its way, until the last byte has come.

use std::rc::Rc;

use tokio::time::{Duration, Instant};
use weir_proto::Service;

use crate::{
    alarm::Alarm,
    endpoint::{InFlight, Leave},
    worker::Local,
};

/// The backend's part, and its patience.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) local: Rc<Local>,
    pub(crate) in_flight: InFlight,
    /// Whether the backend has done well if the body comes to its end.
    pub(super) good_so_far: bool,
    /// How long the backend may send nothing.
    pub(crate) body_idle: Duration,
    /// How long its connection is kept for later.
    pub(crate) connection_idle: Duration,
    /// How long the client may take nothing while others wait.
    pub(super) stall_grace: Duration,
    pub(super) silent_since: Option<Instant>,
    pub(super) alarm: Alarm,
    pub(super) leave: Leave,
}

impl Held {
    pub(crate) fn new(local: &Rc<Local>, in_flight: InFlight, good_so_far: bool, service: &Service) -> Self {
        Self {
            local: Rc::clone(local),
            in_flight,
            good_so_far,
            body_idle: service.timeouts.body_idle,
            connection_idle: service.timeouts.connection_idle,
            stall_grace: service.circuit_breakers.stall_grace,
            silent_since: None,
            alarm: Alarm::default(),
            leave: Leave::default(),
        }
    }
}
