//! One change after the other, each of another kind, and how long until every proxy has it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use weir_proto::v1;
use weir_tests::Api;

use crate::{crowd::Crowd, settled};

/// The service that changes; it has nothing else in common with the others than the control plane.
const SERVICE: &str = "changing";
/// Longer than the control plane gathers changes for, so that each one is the first after quiet.
const QUIET: Duration = Duration::from_millis(120);
/// A change that takes longer counts as never arrived.
const MOST: Duration = Duration::from_secs(30);
/// Kinds of changes.
const KINDS: usize = 5;

/// What came of many changes.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From the call to the last acknowledgement of a light proxy.
    pub(crate) acknowledged: Vec<Duration>,
    /// From the call until the control plane knew that all proxies had acknowledged, if it was asked.
    pub(crate) settled: Vec<Duration>,
    /// Changes that did not arrive everywhere.
    pub(crate) lost: u64,
}

/// Makes that many changes. With `proxies`, so many in all, also asks the control plane whether they have acknowledged.
pub(crate) async fn run(api: &Api, crowd: &Crowd, proxies: Option<usize>, count: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for number in 0..count {
        sleep(QUIET.mul_f64(1.0 + fastrand::f64())).await;
        let began = Instant::now();
        let revision = change(api, number).await.expect("a change");
        let Some(at) = crowd.all_acked(revision, MOST).await else {
            outcome.lost += 1;
            continue;
        };
        outcome.acknowledged.push(at.saturating_duration_since(began));
        let Some(proxies) = proxies else { continue };
        if matches!(timeout(MOST, settled::wait(api, revision, proxies)).await, Ok(true)) {
            outcome.settled.push(began.elapsed());
        } else {
            outcome.lost += 1;
        }
    }
    outcome
}

/// In turn: a new backend, another weight, drained, enabled, gone. The revision that says so.
async fn change(api: &Api, number: usize) -> Result<u64, Status> {
    let address = format!("10.255.{}.1:80", number / KINDS % 200);
    let name = format!("{SERVICE}/{address}");
    let backend = |weight| v1::Backend {
        service: SERVICE.to_owned(),
        address: address.clone(),
        weight: Some(weight),
        ..v1::Backend::default()
    };
    let register = async |weight| {
        let request =
            v1::RegisterRequest { backend: Some(backend(weight)), ..v1::RegisterRequest::default() };
        Ok(api.registry.clone().register(request).await?.into_inner().revision)
    };
    match number % KINDS {
        0 => register(1).await,
        1 => register(2).await,
        2 => api.operator_state(&name, v1::OperatorState::Draining).await,
        3 => api.operator_state(&name, v1::OperatorState::Enabled).await,
        _ => Ok(api.deregister(&name).await?.revision),
    }
}
