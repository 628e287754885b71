//! Whether one proxy may be sent everything: its turn, and its place.
//!
//! The place is given back when the last page is handed to the connection. What is scarce is the room and the work that
//! sending takes; how long the proxy takes to apply it is its own affair.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::fleet::Place;

/// For no longer than this a proxy keeps its place: it may have stopped reading. It still gets the rest.
const MOST_PLACE_AGE: Duration = Duration::from_secs(30);

/// How far one proxy is on the way to a place.
#[derive(Default)]
pub(super) enum Admission {
    /// It needs none, or had one.
    #[default]
    None,
    /// It waits for its turn.
    Waiting(Pin<Box<dyn Future<Output = Place> + Send>>),
    /// It has one until then, at the latest.
    Admitted { _place: Place, until: Instant },
}

impl Admission {
    pub(super) fn admitted(place: Place) -> Self {
        Self::Admitted { _place: place, until: Instant::now() + MOST_PLACE_AGE }
    }

    pub(super) fn waiting(turn: impl Future<Output = Place> + Send + 'static) -> Self {
        Self::Waiting(Box::pin(turn))
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    pub(super) fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted { .. })
    }

    /// Ends when it is its turn, or it had a place for too long; dropped before, nothing has changed.
    pub(super) async fn changed(&mut self) {
        match self {
            Self::None => pending().await,
            Self::Waiting(turn) => {
                let place = turn.await;
                *self = Self::admitted(place);
            }
            Self::Admitted { until, .. } => {
                sleep_until(*until).await;
                *self = Self::None;
            }
        }
    }

    /// Gives up what it has.
    pub(super) fn leave(&mut self) {
        if self.is_admitted() {
            *self = Self::None;
        }
    }
}
