//! `Admin.Drain`: a drain, and how far it is.

use std::time::Duration;

use futures_util::stream;
use tonic::Status;
use weir_proto::{BackendKey, Invalid, ObjectKey, duration_from_wire, v1};

use super::{Answers, Api, refused, status};
use crate::{
    Error,
    caller::Caller,
    drain::{Drain, Order, Progress, Stage},
    registry::Target,
};

/// How long a drain may take, if the caller does not say.
const USUAL_DRAIN: Duration = Duration::from_mins(1);
/// The longest drain.
pub(super) const MOST_DRAIN: Duration = Duration::from_hours(1);
/// Proxies that one answer names.
const MOST_NAMED: usize = 100;

impl Api {
    pub(super) async fn drained(
        &self,
        caller: Caller,
        request: v1::DrainRequest,
    ) -> Result<Answers<v1::DrainProgress>, Status> {
        let (key, within) = decode(&request).map_err(|e| refused(vec![e]))?;
        let order = Order { target: Target::Backend(key.clone()), within, insists: false };
        let drain = Drain::begin(&self.registry, &self.fleet, &self.metrics, &caller, order).await;
        let missing = || status(Error::NotFound { key: ObjectKey::from(&key) });
        let drain = drain.map_err(status)?.ok_or_else(missing)?;
        let stopping = self.stopping.clone();
        let progress = stream::unfold(Some((drain, stopping)), |state| async move {
            let (mut drain, stopping) = state?;
            let next = tokio::select! {
                () = stopping.cancelled() => Err(Error::Stopping),
                next = drain.next() => next,
            };
            match next {
                Ok(progress) if progress.stage == Stage::Removed => Some((Ok(wire(&progress)), None)),
                Ok(progress) => Some((Ok(wire(&progress)), Some((drain, stopping)))),
                Err(error) => Some((Err(status(error)), None)),
            }
        });
        Ok(Box::pin(progress))
    }

    /// A drain to its end, of a backend that is about to go anyway.
    pub(super) async fn drained_away(
        &self,
        caller: &Caller,
        target: Target,
        within: Duration,
    ) -> Result<v1::DeregisterResponse, Error> {
        let order = Order { target, within, insists: true };
        let Some(mut drain) = Drain::begin(&self.registry, &self.fleet, &self.metrics, caller, order).await?
        else {
            let revision = self.registry.current().revision().0;
            return Ok(v1::DeregisterResponse { revision, ..Default::default() });
        };
        let last = loop {
            let progress = drain.next().await?;
            if progress.stage == Stage::Removed {
                break progress;
            }
        };
        Ok(v1::DeregisterResponse {
            existed: last.existed,
            revision: last.revision.0,
            in_flight: last.left.in_flight,
            unacknowledged_proxies: last.left.unacknowledged.iter().map(ToString::to_string).collect(),
        })
    }
}

fn decode(request: &v1::DrainRequest) -> Result<(BackendKey, Duration), Invalid> {
    let key = BackendKey::try_from(request.backend.as_str()).map_err(|e| e.within("backend"))?;
    let within = duration_from_wire("timeout", request.timeout, USUAL_DRAIN, Duration::ZERO, MOST_DRAIN)?;
    Ok((key, within))
}

fn wire(progress: &Progress) -> v1::DrainProgress {
    let phase = match progress.stage {
        Stage::Acknowledging => v1::DrainPhase::Acknowledging,
        Stage::Finishing => v1::DrainPhase::Finishing,
        Stage::Closing => v1::DrainPhase::Closing,
        Stage::Removed => v1::DrainPhase::Removed,
    };
    let left = &progress.left;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    v1::DrainProgress {
        phase: phase as i32,
        revision: progress.revision.0,
        live_proxies: count(left.live),
        acknowledged_proxies: count(left.live - left.unacknowledged.len()),
        in_flight: left.in_flight,
        waiting_for: left.unheard().take(MOST_NAMED).map(ToString::to_string).collect(),
    }
}
