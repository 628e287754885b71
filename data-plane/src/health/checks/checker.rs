//! Who asks one backend, time and again, one question at a time.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::{
    pin, select,
    time::{Duration, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    condition,
    places::{Place, Places},
    schedule::Schedule,
};
use crate::{
    endpoint::{Endpoint, Health},
    health::probe::{Outcome, Question},
};

#[derive(Debug)]
pub(super) struct Checker {
    endpoint: Arc<Endpoint>,
    question: Arc<Question>,
    places: Places,
}

impl Checker {
    pub(super) fn new(endpoint: &Arc<Endpoint>, question: &Arc<Question>, places: &Places) -> Self {
        let (endpoint, question) = (Arc::clone(endpoint), Arc::clone(question));
        Self { endpoint, question, places: places.clone() }
    }

    /// As a task of its own. What was known of the backend stays until this one knows better.
    pub(super) fn start(self) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(self.run()))
    }

    async fn run(self) {
        let check = &self.question.check;
        let mut schedule = Schedule::new(condition::attend(&self.endpoint));
        loop {
            let place = self.place(check.timeout).await;
            let asking = Box::pin(self.question.ask(self.endpoint.address()));
            // A fault of ours must not be the last that is heard of a backend.
            let outcome = AssertUnwindSafe(asking).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Outcome::Skipped("a fault of this proxy".to_owned()));
            drop(place);
            self.note(&mut schedule, &outcome);
            sleep(schedule.wait(check, fastrand::f64())).await;
        }
    }

    /// The first probe of a backend must not wait for long without anybody being told.
    async fn place(&self, patience: Duration) -> Place<'_> {
        let place = self.places.take();
        pin!(place);
        select! {
            biased;
            place = &mut place => return place,
            () = sleep(patience) => condition::let_in(&self.endpoint),
        }
        place.await
    }

    fn note(&self, schedule: &mut Schedule, outcome: &Outcome) {
        let endpoint = &self.endpoint;
        endpoint.live().probes().count(outcome);
        schedule.learn(outcome, &self.question.check);
        match (schedule.health(), outcome) {
            (_, Outcome::Skipped(reason)) => {
                tracing::debug!("{} was not asked whether it is well: {reason}", endpoint.key());
                condition::let_in(endpoint);
            }
            (health @ Health::Unhealthy, Outcome::Failed(reason))
            | (health @ Health::Degraded, Outcome::Loaded(reason)) => {
                condition::found(endpoint, health, reason);
            }
            (Health::Healthy, _) => condition::found(endpoint, Health::Healthy, ""),
            // On the way to something else, which is not reached.
            _ => {}
        }
    }
}
