//! Waiting until every proxy serves a revision.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use weir_proto::v1::{self, RevisionStatusRequest, RevisionStatusResponse};

use crate::{
    Error,
    client::Client,
    output::{self, Lines, Output},
};

/// How long `--wait` waits by default.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// The control plane is asked again after this time when the connection broke.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// Refusals of other revisions that are told.
const MOST_NOTES: usize = 5;

/// What became of a revision on the proxies.
pub(super) struct Outcome {
    epoch: u64,
    revision: u64,
    info: Option<v1::RevisionInfo>,
    /// By their ids.
    proxies: BTreeMap<String, v1::ProxyOutcome>,
    settled: bool,
}

/// Prints what was done; with `wait` waits then until the proxies serve `revision`, prints who does, and fails if
/// somebody refused a part of it or is late.
pub(super) async fn show<L: Into<Lines>>(
    client: &Client,
    output: Output,
    wait: bool,
    revision: u64,
    mut value: Value,
    people: impl FnOnce() -> L,
) -> Result<(), Error> {
    if !wait {
        return output.show(&value, people);
    }
    let outcome = if output.for_people() {
        output::line(people())?;
        let outcome = outcome(client, revision).await?;
        output::line(output::outcomes(outcome.proxies()).render(output.is_colored()))?;
        outcome
    } else {
        match outcome(client, revision).await {
            Ok(outcome) => {
                value["proxies"] = outcome.json();
                output.show(&value, people)?;
                outcome
            }
            // What was done is done, whatever became of it.
            Err(e) => return output.show(&value, people).and(Err(e)),
        }
    };
    for note in outcome.notes() {
        output::note(&note);
    }
    outcome.verdict(client.timeout())
}

/// Waits until no proxy is pending any more, or the time is up.
pub(super) async fn outcome(client: &Client, revision: u64) -> Result<Outcome, Error> {
    let mut seen = None;
    loop {
        let failure = match follow(client, revision, &mut seen).await {
            Ok(()) => None,
            // It comes back, or another one takes its place.
            Err(e @ (Error::Unreachable { .. } | Error::Unavailable { .. } | Error::Timeout(_))) => Some(e),
            Err(e) => return Err(e),
        };
        let again = Instant::now() + RETRY_INTERVAL;
        match seen {
            Some(outcome) if outcome.settled || again >= client.deadline() => return Ok(outcome),
            None if again >= client.deadline() => return Err(failure.unwrap_or_else(|| never(client))),
            _ => sleep_until(again).await,
        }
    }
}

/// How things stand.
pub(super) async fn now(client: &Client, revision: u64) -> Result<Outcome, Error> {
    let mut seen = None;
    let mut stream = ask(client, revision, true).await?;
    while let Some(answer) = client.next(&mut stream).await? {
        take(&mut seen, answer, true)?;
    }
    seen.ok_or_else(|| never(client))
}

impl Outcome {
    /// The proxies in the order of their ids.
    pub(super) fn proxies(&self) -> impl Iterator<Item = &v1::ProxyOutcome> {
        self.proxies.values()
    }

    /// Of which epoch the revision is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which revision it is.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// What the history says of the revision, unless it is forgotten.
    pub(super) fn info(&self) -> Option<&v1::RevisionInfo> {
        self.info.as_ref()
    }

    /// Whether no proxy is pending.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The proxies, for programs.
    pub(super) fn json(&self) -> Value {
        self.proxies().map(output::proxy_outcome).collect()
    }

    /// What is worth knowing and no failure of this revision.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.proxies().all(|p| p.outcome() == v1::Outcome::Away) {
            notes.push(format!(
                "no proxy is connected, so nothing was waited for; one that comes gets revision {} at once",
                self.revision
            ));
        }
        let elsewhere = |p: &v1::ProxyOutcome| {
            let id = p.proxy_id.clone();
            p.refused_elsewhere.clone().into_iter().map(move |r| (id.clone(), r))
        };
        let elsewhere: Vec<_> = self.proxies().flat_map(elsewhere).collect();
        for (proxy, refused) in elsewhere.iter().take(MOST_NOTES) {
            let what = output::refusal(refused);
            notes.push(format!("proxy {proxy} cannot realise what another revision changed: {what}"));
        }
        if let more @ 1.. = elsewhere.len().saturating_sub(MOST_NOTES) {
            notes.push(format!("and {more} more of this kind; see `weir proxy list`"));
        }
        notes
    }

    /// Whether it is what was waited for.
    pub(super) fn verdict(&self, timeout: Duration) -> Result<(), Error> {
        let of = |outcome| move |p: &&v1::ProxyOutcome| p.outcome() == outcome;
        let late: Vec<_> =
            self.proxies().filter(of(v1::Outcome::Pending)).map(|p| p.proxy_id.as_str()).collect();
        let late = (!late.is_empty()).then(|| late.join(", "));
        let kept_out: Vec<_> = self.proxies().filter(of(v1::Outcome::KeptOut)).collect();
        if let Some(first) = kept_out.first() {
            let who: Vec<_> = kept_out.iter().map(|proxy| proxy.proxy_id.as_str()).collect();
            return Err(Error::RefusedByProxy(format!(
                "revision {} is not served by {}: {}",
                self.revision,
                who.join(", "),
                first.kept_out
            )));
        }
        if let Some(proxy) = self.proxies().find(of(v1::Outcome::Refused)) {
            let what = proxy.refused.first().map(output::refusal).unwrap_or_default();
            let late = late.map_or_else(String::new, |late| {
                format!("; after {timeout:?} revision {} is not acknowledged by {late}", self.revision)
            });
            return Err(Error::RefusedByProxy(format!(
                "proxy {} cannot realise {what}; this form of it is not in force there{late}",
                proxy.proxy_id
            )));
        }
        late.map_or(Ok(()), |late| {
            Err(Error::Timeout(format!(
                "after {timeout:?} revision {0} is not acknowledged by {late}; it is applied, see `weir status {0}`",
                self.revision
            )))
        })
    }
}

/// Follows one stream to its end, or until the time is up.
async fn follow(client: &Client, revision: u64, seen: &mut Option<Outcome>) -> Result<(), Error> {
    let mut stream = ask(client, revision, false).await?;
    let mut first = true;
    while let Some(answer) = client.next(&mut stream).await? {
        take(seen, answer, std::mem::take(&mut first))?;
    }
    Ok(())
}

async fn ask(client: &Client, revision: u64, once: bool) -> Result<Streaming<RevisionStatusResponse>, Error> {
    let mut admin = client.admin();
    client.call(admin.revision_status(RevisionStatusRequest { revision, once })).await
}

/// Adds an answer; the first one of a stream names all.
fn take(seen: &mut Option<Outcome>, answer: RevisionStatusResponse, first: bool) -> Result<(), Error> {
    let RevisionStatusResponse { epoch, revision, proxies, settled, info } = answer;
    let proxies = proxies.into_iter().map(|p| (p.proxy_id.clone(), p));
    match seen {
        Some(seen) if seen.epoch != epoch => {
            return Err(Error::Conflict(format!(
                "the control plane's store was replaced meanwhile: revision {revision} may be another one now; \
                 see `weir history`"
            )));
        }
        Some(seen) if !first => {
            seen.proxies.extend(proxies);
            seen.settled = settled;
        }
        seen => *seen = Some(Outcome { epoch, revision, info, proxies: proxies.collect(), settled }),
    }
    Ok(())
}

fn never(client: &Client) -> Error {
    Error::Timeout(format!(
        "the control plane at {} did not say within {:?} how far the proxies are; see `weir proxy list`",
        client.url(),
        client.timeout()
    ))
}
