//! Whether every proxy has acknowledged a revision, as the control plane says.

use std::{collections::HashMap, time::Duration};

use tokio::time::sleep;
use tonic::{Code, Status};
use weir_proto::v1;
use weir_tests::Api;

/// Proxies that are not there yet are looked for again after this.
const POLL: Duration = Duration::from_millis(10);

/// Waits until so many proxies have acknowledged it. False if one of them refuses a part of it, or leaves.
pub(crate) async fn wait(api: &Api, revision: u64, proxies: usize) -> bool {
    loop {
        match outcomes(api, revision).await {
            Ok(outcomes) if outcomes.len() < proxies => sleep(POLL).await,
            Ok(outcomes) => return outcomes.values().all(|outcome| *outcome == v1::Outcome::Acknowledged),
            Err(status) if status.code() == Code::Unimplemented => {
                api.acknowledged(revision, proxies).await;
                return true;
            }
            Err(_) => return false,
        }
    }
}

/// What became of it on each proxy, when that is known of all.
async fn outcomes(api: &Api, revision: u64) -> Result<HashMap<String, v1::Outcome>, Status> {
    let request = v1::RevisionStatusRequest { revision, once: false };
    let mut answers = api.admin.clone().revision_status(request).await?.into_inner();
    let mut outcomes = HashMap::new();
    while let Some(answer) = answers.message().await? {
        for proxy in answer.proxies {
            outcomes.insert(proxy.proxy_id.clone(), proxy.outcome());
        }
        if answer.settled {
            return Ok(outcomes);
        }
    }
    Err(Status::unavailable("the answers ended"))
}
