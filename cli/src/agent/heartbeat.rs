//! One heartbeat stream for one lease.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use weir_proto::{
    duration_read,
    v1::{HeartbeatRequest, HeartbeatResponse, registry_client::RegistryClient},
};

use crate::client::{self, Named};

/// Nobody waits longer for an answer.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(5);
/// Heartbeats come up to this share of the interval early, so that many agents do not send at the same moment.
const JITTER: f64 = 0.2;

/// Why a lease is not renewed any more.
#[derive(Debug)]
pub(crate) enum End {
    /// The control plane cannot be reached, or ended the stream.
    Lost(String),
    /// The control plane does not know it.
    Unknown,
    /// An operator took out the backend.
    Withdrawn,
}

/// Renews until that is no longer possible, and says why.
pub(crate) async fn renew(
    registry: &RegistryClient<Named>,
    url: &str,
    lease: u64,
    interval: Duration,
) -> End {
    let answer_time = interval.min(MAX_ANSWER_TIME);
    let (requests, stream) = mpsc::channel(1);
    let mut sequence = 0;
    let mut registry = registry.clone();
    let silent = || End::Lost(format!("the control plane at {url} does not answer heartbeats"));

    // The first one goes out with the call: a server may answer nothing before.
    sequence += 1;
    let first = HeartbeatRequest { lease_ids: vec![lease], sequence };
    if requests.send(first).await.is_err() {
        return silent();
    }
    let call = registry.heartbeat(ReceiverStream::new(stream));
    let mut answers = match timeout(answer_time, call).await {
        Ok(Ok(answers)) => answers.into_inner(),
        Ok(Err(status)) => return End::Lost(client::sentence(url, &status).await),
        Err(_) => return silent(),
    };
    loop {
        let answer: HeartbeatResponse = match timeout(answer_time, answers.message()).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(end) => return ended(url, end).await,
            Err(_) => return silent(),
        };
        if answer.unknown_lease_ids.contains(&lease) {
            return End::Unknown;
        }
        if answer.withdrawn_lease_ids.contains(&lease) {
            return End::Withdrawn;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(&answer, interval)) => {}
            // Nothing is awaited now but the end, which is better known at once.
            end = answers.message() => return ended(url, end).await,
        }
        sequence += 1;
        let request = HeartbeatRequest { lease_ids: vec![lease], sequence };
        if requests.send(request).await.is_err() {
            return silent();
        }
    }
}

async fn ended(url: &str, end: Result<Option<HeartbeatResponse>, tonic::Status>) -> End {
    End::Lost(match end {
        Err(status) => client::sentence(url, &status).await,
        Ok(_) => format!("the control plane at {url} ended the heartbeats"),
    })
}

fn pause(answer: &HeartbeatResponse, interval: Duration) -> Duration {
    let paced = answer.next_after.and_then(duration_read).unwrap_or_default();
    interval.mul_f64(1.0 - JITTER * fastrand::f64()).max(paced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_is_heeded() {
        let interval = Duration::from_secs(5);
        assert!((0..100).all(|_| pause(&HeartbeatResponse::default(), interval) <= interval));
        let paced = HeartbeatResponse {
            next_after: Some(weir_proto::duration_to_wire(Duration::from_secs(9))),
            ..Default::default()
        };
        assert_eq!(pause(&paced, interval), Duration::from_secs(9));
    }
}
