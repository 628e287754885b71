//! The client of `discovery.proto`: connects, streams, applies, backs off. Never takes anything away by itself.

mod bounds;
mod close;
mod connect;
mod judge;
mod keep_out;
mod open;
mod receive;
mod report;
mod session;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use http::Uri;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep},
};
use weir_proto::{Backoff, ProxyId, v1};

pub(crate) use self::{bounds::Bounds, receive::Step};
use self::{judge::Size, session::Session};
use crate::{
    lifecycle::Phase,
    metrics::ConfigMetrics,
    objects::Position,
    table::{Applier, SharedTable},
    worker::Workers,
};

/// Streams are ended after 30 minutes ± 20 %, so that a fleet spreads over the control planes again.
const MAX_STREAM_AGE: Duration = Duration::from_mins(30);
const MAX_STREAM_AGE_SPREAD: f64 = 0.2;
/// No wait between two attempts is longer, but for what a control plane asks for beside it.
const MOST_WAIT: Duration = Duration::from_secs(10);

/// Who the proxy says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) id: ProxyId,
    /// Random for each start of the process.
    pub(crate) boot_id: u64,
    pub(crate) zone: String,
    pub(crate) advertised_address: String,
    /// The address of `--listen`, with the real port.
    pub(crate) listen: Option<SocketAddr>,
}

/// What the client needs, and where it leaves what it learns.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(crate) control_planes: Vec<Uri>,
    pub(crate) identity: Identity,
    pub(crate) applier: Arc<Mutex<Applier>>,
    pub(crate) table: Arc<SharedTable>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) link: watch::Sender<Link>,
    pub(crate) metrics: ConfigMetrics,
    pub(crate) bounds: Bounds,
}

/// How the proxy stands with the control plane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    /// The control plane that the stream goes to, while there is one.
    pub(crate) connected_to: Option<Uri>,
    /// Why there is none.
    pub(crate) last_failure: Option<String>,
    /// When anything was heard last.
    pub(crate) last_word: Option<Instant>,
    /// What was offered in place of the configuration in force, and not taken.
    pub(crate) kept_out: Option<KeptOut>,
}

/// A state that does not take the place of what the proxy has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptOut {
    pub(crate) offered: Position,
    pub(crate) reason: v1::KeptOutReason,
    /// How much it has; nothing, if it was a delta.
    pub(crate) size: Size,
}

impl KeptOut {
    /// Whether both are the same news.
    fn is_as(&self, other: &Self) -> bool {
        (self.reason, self.offered.epoch) == (other.reason, other.offered.epoch)
    }

    fn wire(&self) -> v1::KeptOut {
        v1::KeptOut {
            offered: Some(self.offered.into()),
            reason: self.reason as i32,
            objects: self.size.objects as u64,
            objects_in_force: self.size.objects_in_force as u64,
            backends: self.size.backends as u64,
            backends_in_force: self.size.backends_in_force as u64,
        }
    }
}

impl fmt::Display for KeptOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use v1::KeptOutReason as Reason;
        let (offered, size) = (self.offered, self.size);
        match self.reason {
            Reason::Ahead => write!(f, "the control plane has {offered} only, an older one than this proxy"),
            Reason::Fork => {
                write!(f, "{offered} of the control plane is of another history than this proxy's")
            }
            Reason::OtherEpoch | Reason::Shrinks | Reason::Unspecified => write!(
                f,
                "the control plane has {offered} with {} objects and {} backends, this proxy has {} and {}",
                size.objects, size.backends, size.objects_in_force, size.backends_in_force
            ),
        }?;
        f.write_str("; if what the control plane has is meant, run `weir epoch accept`")
    }
}

/// Why a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The control plane asked for it: come back after this time.
    GoAway(Duration),
    /// It was old enough.
    Aged,
    /// It, or the control plane behind it, is of no use now.
    Lost(String),
    /// Twice in a row it brought what cannot be used. However long that took, the stream was of no use.
    Unusable(String),
}

impl Discovery {
    /// Follows the control planes, one at a time, for as long as it is polled.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new(MOST_WAIT);
        let mut turn = fastrand::usize(..self.control_planes.len().max(1));
        loop {
            let Some(plane) = self.control_planes.get(turn % self.control_planes.len().max(1)) else {
                return;
            };
            turn += 1;
            let end = self.follow(plane, &mut backoff).await;
            self.link.send_modify(|link| link.connected_to = None);
            self.metrics.connected.set(0);
            let wait = match end {
                End::Aged => Duration::ZERO,
                End::GoAway(after) => {
                    weir_proto::seldom!(
                        info,
                        "the control plane at {plane} ends the stream; connecting again in {after:?}"
                    );
                    after + backoff.next_wait()
                }
                End::Lost(reason) | End::Unusable(reason) => {
                    self.tell_failure(plane, &reason);
                    backoff.next_wait()
                }
            };
            sleep(wait).await;
        }
    }

    /// One connection from its start to its end.
    async fn follow(&self, plane: &Uri, backoff: &mut Backoff) -> End {
        let hello = self.hello().await;
        let stream = match connect::open(plane, hello).await {
            Ok(stream) => stream,
            Err(reason) => {
                self.metrics.connect_failures.inc();
                return End::Lost(reason);
            }
        };
        self.metrics.connects.inc();
        let opened = Instant::now();
        let end = match Session::new(self, stream, Some(plane)).await.run(max_age()).await {
            End::Lost(reason) if self.link.borrow().connected_to.is_none() => {
                End::Lost(connect::explained(plane, reason).await)
            }
            end => end,
        };
        if !matches!(end, End::Unusable(_)) {
            backoff.lasted(opened.elapsed());
        }
        end
    }

    /// The control plane said its first word: it is one, and sends what is asked for.
    fn tell_connected(&self, plane: &Uri) {
        self.metrics.connected.set(1);
        weir_proto::seldom!(info, "connected to the control plane at {plane}");
        self.link.send_modify(|link| {
            link.connected_to = Some(plane.clone());
            link.last_failure = None;
            link.last_word = Some(Instant::now());
        });
    }

    /// One stream that is open already, from its start to its end; and why it ended.
    #[cfg(feature = "simulation")]
    pub(crate) async fn follow_open(
        &self,
        inbound: tonic::Streaming<weir_proto::v1::ControlMessage>,
        outbound: tokio::sync::mpsc::Sender<weir_proto::v1::ProxyMessage>,
    ) -> String {
        let stream = connect::Stream { inbound, outbound };
        format!("{:?}", Session::new(self, stream, None).await.run(max_age()).await)
    }

    pub(crate) async fn hello(&self) -> weir_proto::v1::Hello {
        let applier = self.applier.lock().await;
        weir_proto::v1::Hello {
            proxy_id: self.identity.id.to_string(),
            boot_id: self.identity.boot_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            zone: self.identity.zone.clone(),
            advertised_address: self.identity.advertised_address.clone(),
            level: weir_proto::LEVEL,
            position: applier.state().map(|state| state.position.into()),
        }
    }

    /// Once for each new reason; repeated ones are for those who look closer.
    fn tell_failure(&self, plane: &Uri, reason: &str) {
        let text = format!("no stream from the control plane at {plane}: {reason}; trying again");
        let new = self.link.borrow().last_failure.as_ref() != Some(&text);
        if new {
            weir_proto::seldom!(warn, "{text}; the configuration in force stays");
        } else {
            tracing::debug!("{text}");
        }
        self.link.send_modify(|link| link.last_failure = Some(text));
    }
}

fn max_age() -> Duration {
    MAX_STREAM_AGE.mul_f64(1.0 - MAX_STREAM_AGE_SPREAD + 2.0 * MAX_STREAM_AGE_SPREAD * fastrand::f64())
}
