//! What probes found of an endpoint, and how it was ejected: for those who change it, and those who show it.

use crate::moment::Moment;

/// Whether probes get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    /// Nobody asks: as good as healthy.
    #[default]
    Unchecked,
    /// The first probe has not been answered.
    Unknown,
    Healthy,
    Unhealthy,
    /// Alive, and asks for less.
    Degraded,
}

/// Health and ejection with their stories.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthRecord {
    pub(crate) health: Health,
    /// For people; empty if there is nothing to say.
    pub(crate) health_reason: String,
    pub(crate) health_since: Moment,
    /// How it was ejected last; whether it still is, the marks say.
    pub(crate) ejection: Option<Ejection>,
    /// Ejections that are not forgotten yet: each next one is longer.
    pub(crate) ejections: u32,
    /// Since when there was none: from then on, they are forgotten.
    pub(crate) calm_since: Moment,
}

/// An ejection under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ejection {
    pub(crate) cause: EjectionCause,
    pub(crate) since: Moment,
    pub(crate) until: Moment,
}

/// What it was ejected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EjectionCause {
    Consecutive5xx,
    ConsecutiveGatewayFailure,
    SuccessRate,
    FailurePercentage,
    /// The one request of its probation failed.
    Probation,
}

impl EjectionCause {
    pub(crate) const ALL: [Self; 5] = [
        Self::Consecutive5xx,
        Self::ConsecutiveGatewayFailure,
        Self::SuccessRate,
        Self::FailurePercentage,
        Self::Probation,
    ];

    /// `consecutive_5xx`
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGatewayFailure => "consecutive_gateway_failure",
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
            Self::Probation => "probation",
        }
    }
}
