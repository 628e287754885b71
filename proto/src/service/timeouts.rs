//! How long to wait: `Timeouts` in `config.proto`.

use std::{sync::Arc, time::Duration};

use super::DAY;
use crate::{
    Invalid,
    bounds::{bounded, required},
    field, v1,
};

/// How long to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the response's head, over all tries.
    pub request: Duration,
    /// For the next piece of the response's body.
    pub body_idle: Duration,
    /// Before an unused connection is closed.
    pub connection_idle: Duration,
    /// For the response's head, for one try.
    pub per_try: Option<Duration>,
    /// The field that tells backends how many milliseconds are left, in lower case.
    pub deadline_header: Option<Arc<str>>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            request: Duration::from_secs(15),
            body_idle: Duration::from_mins(5),
            connection_idle: Duration::from_mins(1),
            per_try: None,
            deadline_header: None,
        }
    }
}

impl TryFrom<v1::Timeouts> for Timeouts {
    type Error = Invalid;

    fn try_from(wire: v1::Timeouts) -> Result<Self, Invalid> {
        let d = Self::default();
        let bounds = || Duration::from_millis(1)..=DAY;
        let deadline_header = match &*wire.deadline_header {
            "" => None,
            name => Some(deadline_header(name).map_err(|e| e.within("deadline_header"))?),
        };
        Ok(Self {
            connect: bounded!(wire.connect, d, bounds())?,
            request: bounded!(wire.request, d, bounds())?,
            body_idle: bounded!(wire.body_idle, d, bounds())?,
            connection_idle: bounded!(wire.connection_idle, d, bounds())?,
            per_try: wire.per_try.map(|time| required("per_try", Some(time), bounds())).transpose()?,
            deadline_header,
        })
    }
}

fn deadline_header(text: &str) -> Result<Arc<str>, Invalid> {
    let name = field::own_name(text)?;
    if &*name == "grpc-timeout" {
        // It has units, and is kept up to date in any case.
        return Err(Invalid::new("", "grpc-timeout is passed on in a form of its own; name another field"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration_to_wire;

    #[test]
    fn the_time_for_one_try_is_bounded_like_any() {
        let per_try = |time| {
            let wire = v1::Timeouts { per_try: Some(duration_to_wire(time)), ..Default::default() };
            Timeouts::try_from(wire).map(|timeouts| timeouts.per_try).map_err(|e| e.to_string())
        };
        assert_eq!(per_try(DAY), Ok(Some(DAY)));
        assert_eq!(per_try(Duration::ZERO), Err("per_try: must be 1ms to 86400s, is 0ns".to_owned()));
    }

    #[test]
    fn the_deadline_goes_into_a_field_that_means_nothing_else() {
        let header = |name: &str| {
            let wire = v1::Timeouts { deadline_header: name.into(), ..Default::default() };
            Timeouts::try_from(wire).map(|timeouts| timeouts.deadline_header).map_err(|e| e.to_string())
        };
        assert_eq!(header(""), Ok(None));
        assert_eq!(header("X-Deadline-Ms"), Ok(Some("x-deadline-ms".into())));
        for bad in ["x deadline", "Content-Length", "connection", "te", "Host", "grpc-timeout"] {
            assert!(header(bad).unwrap_err().starts_with("deadline_header: "), "{bad}");
        }
    }
}
