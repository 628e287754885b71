//! The health and the ejection of a backend as this proxy finds them: for the control plane, and for the admin pages.

use std::time::Duration;

use weir_proto::{duration_to_wire, v1};

use crate::{
    endpoint::{EjectionCause, Endpoint, Health, Marks},
    moment::Moment,
    table::{Member, Table},
};

/// Backends in one answer.
const MOST_CONDITIONS: usize = 10_000;
/// Backends in one report.
const MOST_TROUBLES: usize = 1_000;

/// A backend at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) health: Health,
    /// For people; may be empty.
    pub(crate) health_reason: String,
    /// Since when; None of one that nobody probes.
    pub(crate) health_for: Option<Duration>,
    pub(crate) ejection: Option<Ejected>,
    pub(crate) in_flight: u32,
}

/// An ejection that is not over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ejected {
    pub(crate) cause: EjectionCause,
    pub(crate) since: Duration,
    pub(crate) left: Duration,
    /// Its time is over, and one request decides.
    pub(crate) is_on_probation: bool,
}

impl Condition {
    pub(crate) fn of(endpoint: &Endpoint, now: Moment) -> Self {
        let ejection = endpoint.ejection();
        let is_on_probation = endpoint.marks().has(Marks::PROBATION);
        let record = endpoint.health();
        Self {
            health: record.health,
            health_reason: record.health_reason.clone(),
            health_for: (record.health != Health::Unchecked).then(|| now.since(record.health_since)),
            ejection: ejection.map(|ejection| Ejected {
                cause: ejection.cause,
                since: now.since(ejection.since),
                left: ejection.until.since(now),
                is_on_probation,
            }),
            in_flight: endpoint.in_flight(),
        }
    }

    /// `healthy`
    pub(crate) fn health_word(&self) -> &'static str {
        match self.health {
            Health::Unchecked | Health::Healthy => "healthy",
            Health::Unknown => "unknown",
            Health::Unhealthy => "unhealthy",
            Health::Degraded => "degraded",
        }
    }

    /// `ejected`
    pub(crate) fn ejection_word(&self) -> &'static str {
        match self.ejection {
            None => "none",
            Some(Ejected { is_on_probation: true, .. }) => "probation",
            Some(_) => "ejected",
        }
    }

    /// As the contract has it, of the backend with this name.
    pub(crate) fn wire(self, backend: String) -> v1::BackendCondition {
        let health = match self.health {
            Health::Unchecked | Health::Healthy => v1::HealthState::Healthy,
            Health::Unknown => v1::HealthState::Unknown,
            Health::Unhealthy => v1::HealthState::Unhealthy,
            Health::Degraded => v1::HealthState::Degraded,
        };
        let ejection = match self.ejection {
            None => v1::EjectionState::None,
            Some(Ejected { is_on_probation: true, .. }) => v1::EjectionState::Probation,
            Some(_) => v1::EjectionState::Ejected,
        };
        v1::BackendCondition {
            backend,
            health: health as i32,
            health_reason: self.health_reason,
            health_for: self.health_for.map(duration_to_wire),
            ejection: ejection as i32,
            ejection_reason: self.ejection.map_or("", |e| e.cause.code()).to_owned(),
            ejected_for: self.ejection.map(|e| duration_to_wire(e.since)),
            ejection_left: self.ejection.map(|e| duration_to_wire(e.left)),
            in_flight: self.in_flight.into(),
        }
    }
}

/// All backends of a service, or of all services where that is empty.
pub(crate) fn conditions(table: Option<&Table>, service: &str) -> v1::Conditions {
    let now = Moment::now();
    let mut answer = v1::Conditions::default();
    let of_it = members(table).filter(|m| service.is_empty() || m.backend.key.service.as_str() == service);
    for member in of_it {
        if answer.conditions.len() < MOST_CONDITIONS {
            answer.conditions.push(wire(member, now));
        } else {
            answer.omitted += 1;
        }
    }
    answer
}

/// The backends that are in trouble, or not known to be well: what a report tells.
pub(crate) fn troubles(table: Option<&Table>) -> Vec<v1::BackendCondition> {
    let now = Moment::now();
    let trouble = Marks::HEALTH.and(Marks::EJECTION);
    let troubled = members(table).filter(|member| member.endpoint.marks().has(trouble));
    troubled.take(MOST_TROUBLES).map(|member| wire(member, now)).collect()
}

fn members(table: Option<&Table>) -> impl Iterator<Item = &Member> {
    table.into_iter().flat_map(|table| table.services.values()).flat_map(|entry| entry.members.values())
}

fn wire(member: &Member, now: Moment) -> v1::BackendCondition {
    Condition::of(&member.endpoint, now).wire(member.backend.key.to_string())
}
