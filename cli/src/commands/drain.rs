//! `weir drain`: takes a backend out without an error.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};
use weir_proto::{BackendKey, OperatorState, duration_to_wire, v1};

use crate::{
    Error, Exit,
    client::Client,
    commands::{
        Global,
        backend::{self, SetState},
    },
    output::Progress,
    signals::Signals,
};

/// How long a drain may take by default.
const DRAIN: Duration = Duration::from_mins(1);
/// The answer that the time is up may come so much later.
const GRACE: Duration = Duration::from_secs(10);
/// The control plane is asked again after this time when the connection broke.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Proxies that a line names.
const MOST_NAMED: usize = 5;

/// What to drain.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --wait the backend stays, draining. With --wait it is removed as soon as every proxy has acknowledged that \
    nothing new is sent to it and nothing is in flight; in the last tenth of --timeout (60s by default) what is still in \
    flight is closed. Exit code 0 is the promise that it may be stopped now.

4: a proxy did not answer for it in time; 8: somebody enabled it meanwhile. It then stays as it is. Ctrl-C leaves it \
    draining. `weir backend enable SERVICE/ID` takes it back at any time.")]
pub(super) struct Drain {
    /// As `weir backend list` shows it
    #[arg(value_name = "SERVICE/ID", value_parser = backend::key)]
    backend: BackendKey,
    /// Drain it only if this is the current revision
    #[arg(long, value_name = "N", conflicts_with = "wait")]
    if_revision: Option<u64>,
    /// Return when it has nothing left to do and is removed
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(global: &Global, drain: Drain) -> Result<Exit, Error> {
    let Drain { backend, if_revision, wait } = drain;
    if !wait {
        let set = SetState { backend, if_revision, wait: false };
        return backend::set_state(global, &set, OperatorState::Draining).await;
    }
    let mut signals = Signals::listen()?;
    let time = global.timeout.unwrap_or(DRAIN);
    let mut work = Work { backend: &backend, progress: Progress::new(), last: None };
    let done = async {
        let client = global.connect_within(time.saturating_add(GRACE)).await?;
        work.finish(&client, time).await
    };
    let revision = tokio::select! {
        () = signals.next() => return Err(work.interrupted()),
        done = done => done?,
    };
    drop(work);
    let value = json!({ "backend": backend.to_string(), "removed": true, "revision": revision });
    global.output().show(&value, || match revision {
        Some(revision) => format!("removed {backend} in revision {revision}"),
        None => format!("{backend} is removed; the answer got lost, but it is there no more"),
    })?;
    Ok(Exit::Ok)
}

/// A drain under way.
struct Work<'a> {
    backend: &'a BackendKey,
    progress: Progress,
    last: Option<v1::DrainProgress>,
}

impl Work<'_> {
    /// To its end, however often the control plane has to be asked again. The revision without the backend, if it is
    /// known.
    async fn finish(&mut self, client: &Client, time: Duration) -> Result<Option<u64>, Error> {
        let deadline = Instant::now() + time;
        loop {
            let left = whole_millis(deadline.saturating_duration_since(Instant::now()));
            let failure = match self.follow(client, left).await {
                Ok(Some(revision)) => return Ok(Some(revision)),
                Ok(None) => Error::Unavailable {
                    url: client.url().to_owned(),
                    reason: "it ended the stream".to_owned(),
                },
                Err(e @ (Error::Unreachable { .. } | Error::Unavailable { .. })) => e,
                // It was removed while nobody listened.
                Err(Error::NotFound(_)) if self.last.is_some() => return Ok(None),
                Err(Error::Timeout(reason)) => return Err(Error::Timeout(self.stays(&reason))),
                Err(e) => return Err(e),
            };
            if Instant::now() + RETRY_INTERVAL >= deadline {
                return Err(failure);
            }
            self.progress.say(0, &format!("{failure}; trying again"));
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// As far as one stream goes.
    async fn follow(&mut self, client: &Client, left: Duration) -> Result<Option<u64>, Error> {
        let request =
            v1::DrainRequest { backend: self.backend.to_string(), timeout: Some(duration_to_wire(left)) };
        let mut admin = client.admin();
        let mut stream = client.call(admin.drain(request)).await?;
        while let Some(progress) = client.next(&mut stream).await? {
            if progress.phase() == v1::DrainPhase::Removed {
                return Ok(Some(progress.revision));
            }
            self.progress.say(progress.phase, &line(self.backend, &progress));
            self.last = Some(progress);
        }
        Ok(None)
    }

    fn stays(&self, reason: &str) -> String {
        let waiting = self.last.as_ref().map(|last| last.waiting_for.as_slice()).unwrap_or_default();
        let unnamed: Vec<_> = waiting.iter().filter(|id| !reason.contains(id.as_str())).cloned().collect();
        let waiting = match unnamed.as_slice() {
            [] => String::new(),
            ids => format!("; it was waiting for {}", named(ids)),
        };
        format!(
            "{reason}{waiting}; {0} stays draining: repeat the command, or `weir backend enable {0}`",
            self.backend
        )
    }

    fn interrupted(&self) -> Error {
        let state = if self.last.is_some() { "stays draining" } else { "may be draining now" };
        Error::Failed(format!(
            "interrupted: {0} {state} and is not removed; repeat the command, or `weir backend enable {0}`",
            self.backend
        ))
    }
}

/// Rounded up: people read it.
fn whole_millis(time: Duration) -> Duration {
    let nanos = time.subsec_nanos().next_multiple_of(1_000_000);
    Duration::from_secs(time.as_secs()) + Duration::from_nanos(nanos.into())
}

fn line(backend: &BackendKey, progress: &v1::DrainProgress) -> String {
    let v1::DrainProgress { live_proxies, acknowledged_proxies, in_flight, waiting_for, .. } = progress;
    let waiting = match waiting_for.as_slice() {
        [] => String::new(),
        ids => format!(", waiting for {}", named(ids)),
    };
    let requests = if *in_flight == 1 { "1 request".to_owned() } else { format!("{in_flight} requests") };
    match progress.phase() {
        v1::DrainPhase::Closing => format!("{backend}: the time is nearly up, closing {requests}{waiting}"),
        v1::DrainPhase::Finishing => format!("{backend}: {requests} in flight{waiting}"),
        _ => format!(
            "{backend} is draining: {acknowledged_proxies} of {live_proxies} proxies have acknowledged{waiting}"
        ),
    }
}

fn named(ids: &[String]) -> String {
    let shown = ids.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(MOST_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_what_people_read() {
        let rounded = |nanos| whole_millis(Duration::from_nanos(nanos)).as_nanos();
        let of = [0, 1, 1_000_000, 59_999_999_849, 1_500_000_000].map(rounded);
        assert_eq!(of, [0, 1_000_000, 1_000_000, 60_000_000_000, 1_500_000_000]);
    }

    #[test]
    fn a_line_says_what_is_waited_for() {
        let backend = BackendKey::try_from("web/a").expect("a key");
        let progress = |phase: v1::DrainPhase, in_flight, waiting: &[&str]| v1::DrainProgress {
            phase: phase as i32,
            live_proxies: 9,
            acknowledged_proxies: 2,
            in_flight,
            waiting_for: waiting.iter().map(|id| (*id).to_owned()).collect(),
            ..Default::default()
        };
        let told = |p| line(&backend, &p);
        assert_eq!(
            told(progress(v1::DrainPhase::Acknowledging, 0, &["p1", "p2", "p3", "p4", "p5", "p6", "p7"])),
            "web/a is draining: 2 of 9 proxies have acknowledged, waiting for p1, p2, p3, p4, p5 and 2 more"
        );
        assert_eq!(told(progress(v1::DrainPhase::Finishing, 1, &[])), "web/a: 1 request in flight");
        assert_eq!(
            told(progress(v1::DrainPhase::Closing, 12, &["p1"])),
            "web/a: the time is nearly up, closing 12 requests, waiting for p1"
        );
    }
}
