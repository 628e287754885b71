//! The gRPC services: decode, call, encode. What is right is decided elsewhere; what an error is called outside is
//! decided here.

mod admin;
mod apply;
mod ask;
mod audit;
mod backup;
mod caller;
mod discovery;
mod drain;
mod history;
mod objects;
mod overview;
mod registry;
mod revision_status;
mod status;
mod watch;

use std::{net::SocketAddr, pin::Pin, time::SystemTime};

use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use weir_proto::Invalid;

pub(crate) use self::status::{code, refused, status};
use crate::{descriptors::Room, fleet::Fleet, metrics::Metrics, registry::Registry};

/// What the services stand on; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) registry: Registry,
    pub(crate) fleet: Fleet,
    pub(crate) metrics: Metrics,
    pub(crate) started_at: SystemTime,
    /// Where DNS is answered, if it is.
    pub(crate) dns_address: Option<SocketAddr>,
    /// How many streams of each kind there may be.
    pub(crate) room: Room,
    /// Cancelled when the process is told to end: streams end then, and waits are given up.
    pub(crate) stopping: CancellationToken,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Refuses text that is longer than `most` or has anything but visible ASCII characters. Empty is fine.
fn visible(field: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() > most {
        return Err(Invalid::new(
            field,
            format_args!("must have at most {most} characters, has {}", text.len()),
        ));
    }
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        Some(bad) => Err(Invalid::new(
            field,
            format_args!("may consist of visible ASCII characters only, not of {bad:?}"),
        )),
        None => Ok(()),
    }
}
