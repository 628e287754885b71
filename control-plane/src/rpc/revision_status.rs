//! `Admin.RevisionStatus`: what became of a revision on each proxy.

use std::collections::BTreeMap;

use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use weir_proto::{Epoch, ProxyId, Revision, v1};

use super::{Answers, Api, status};
use crate::{
    Error,
    fleet::{Outcomes, Told},
    metrics::OpenStream,
};

/// Refusals that are named in one answer, all proxies together: clients take 4 MiB by default, and what a refusal says
/// has about 1 KiB at most.
const MOST_REFUSALS: usize = 2_000;

/// One caller who waits.
struct Watcher {
    outcomes: Outcomes,
    epoch: Epoch,
    revision: Revision,
    /// For the first answer.
    info: Option<v1::RevisionInfo>,
    once: bool,
    stopping: CancellationToken,
    _open: OpenStream,
}

impl Api {
    pub(super) async fn outcomes(
        &self,
        request: v1::RevisionStatusRequest,
    ) -> Result<Answers<v1::RevisionStatusResponse>, Status> {
        let current = self.registry.current().position();
        let revision = match request.revision {
            0 => current.revision,
            wanted => Revision(wanted),
        };
        if revision > current.revision {
            return Err(Status::out_of_range(format!(
                "there is no revision {revision} yet; the current one is {}",
                current.revision
            )));
        }
        let watcher = Watcher {
            outcomes: self.fleet.outcomes(revision),
            epoch: current.epoch,
            revision,
            // What is wrong with the history keeps nobody from knowing where the revision is live.
            info: self.registry.revision(revision).await.ok().flatten(),
            once: request.once,
            stopping: self.stopping.clone(),
            _open: self.metrics.open_stream("revision_status"),
        };
        Ok(Box::pin(stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            let answer = watcher.next().await;
            let goes_on = answer.as_ref().is_ok_and(|answer| !answer.settled && !watcher.once);
            Some((answer, goes_on.then_some(watcher)))
        })))
    }
}

impl Watcher {
    async fn next(&mut self) -> Result<v1::RevisionStatusResponse, Status> {
        let told = self.stopping.run_until_cancelled(self.outcomes.next()).await;
        let told = told.ok_or_else(|| status(Error::Stopping))?;
        Ok(v1::RevisionStatusResponse {
            epoch: self.epoch.0,
            revision: self.revision.0,
            proxies: proxies(told, self.revision),
            settled: self.outcomes.is_settled(),
            info: self.info.take(),
        })
    }
}

fn proxies(told: BTreeMap<ProxyId, Told>, revision: Revision) -> Vec<v1::ProxyOutcome> {
    let mut room = MOST_REFUSALS;
    let outcomes = told.into_iter().map(|(id, told)| {
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for refusal in told.refused.iter() {
            // However little room there is, each proxy names what it is about.
            if room == 0 && !here.is_empty() {
                break;
            }
            match refusal.changed == revision {
                true => here.push(refusal.said.clone()),
                false if room == 0 => continue,
                false => elsewhere.push(refusal.said.clone()),
            }
            room = room.saturating_sub(1);
        }
        v1::ProxyOutcome {
            proxy_id: id.to_string(),
            outcome: told.outcome as i32,
            acknowledged_revision: told.acknowledged.map_or(0, |(revision, _)| revision.0),
            acknowledged_at: told.acknowledged.map(|(_, at)| at.into()),
            refused: here,
            refused_elsewhere: elsewhere,
            connected: told.connected,
            kept_out: told.kept_out.map(|kept| kept.sentence()).unwrap_or_default(),
        }
    });
    outcomes.collect()
}
