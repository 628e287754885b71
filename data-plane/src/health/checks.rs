//! Active health checks: one checker for each backend of a service that wants them, off the request threads.

mod checker;
mod condition;
mod counters;
mod places;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use weir_proto::ServiceName;

use self::{
    checker::Checker,
    places::{Places, Room},
};
pub(crate) use self::{condition::begin, counters::ProbeCounters};
use super::probe::Question;
use crate::{
    endpoint::{EndpointId, Marks},
    table::{Applied, Member, ServiceEntry, SharedTable, Table},
};

/// Checks the backends of the table in force for as long as it is polled.
pub(crate) async fn check(mut applied: watch::Receiver<Applied>, table: Arc<SharedTable>) {
    let mut supervisor = Supervisor::default();
    loop {
        applied.mark_unchanged();
        if let Some(table) = table.load_full() {
            supervisor.follow(&table).await;
        }
        if applied.changed().await.is_err() {
            return;
        }
    }
}

/// Who is checked. Dropping it ends all checks, and leaves what they found.
#[derive(Debug, Default)]
struct Supervisor {
    services: HashMap<ServiceName, Watched>,
    room: Room,
}

/// A service as it was last seen.
#[derive(Debug)]
struct Watched {
    entry: Arc<ServiceEntry>,
    /// None: nobody asks.
    question: Option<Arc<Question>>,
    places: Places,
    checkers: HashMap<EndpointId, AbortOnDropHandle<()>>,
}

impl Supervisor {
    /// Starts and ends checks as the table wants it. Costs nothing for services that did not change.
    async fn follow(&mut self, table: &Table) {
        let gone = self.services.extract_if(|name, _| !table.services.contains_key(name));
        let mut ended: Vec<_> = gone.flat_map(|(_, watched)| watched.checkers.into_values()).collect();
        let mut changed = Vec::new();
        for (name, entry) in &table.services {
            let watched = self.services.get_mut(name);
            if watched.as_ref().is_none_or(|watched| !Arc::ptr_eq(&watched.entry, entry)) {
                ended.extend(watched.into_iter().flat_map(|watched| watched.turn_to(entry)));
                changed.push((name, entry));
            }
        }
        // Nobody may write down what was found after others have taken over.
        ended.iter().for_each(AbortOnDropHandle::abort);
        for task in ended {
            // It has ended before, or ends now.
            let _ = task.await;
        }
        for (name, entry) in changed {
            let known = self.services.entry(name.clone());
            known.or_insert_with(|| Watched::new(entry, self.room.for_a_service())).settle();
        }
    }
}

impl Watched {
    fn new(entry: &Arc<ServiceEntry>, places: Places) -> Self {
        let question = Question::of(entry).map(Arc::new);
        Self { entry: Arc::clone(entry), question, places, checkers: HashMap::new() }
    }

    /// Takes the service as it is now. The checkers that must end first: those of backends that are not to be checked
    /// any more, and all of them if something else is to be asked.
    fn turn_to(&mut self, entry: &Arc<ServiceEntry>) -> Vec<AbortOnDropHandle<()>> {
        self.entry = Arc::clone(entry);
        let question = Question::of(entry);
        let same = match (&self.question, &question) {
            (Some(before), Some(now)) => before.is_same(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !same {
            self.question = question.map(Arc::new);
            return std::mem::take(&mut self.checkers).into_values().collect();
        }
        if self.checkers.is_empty() {
            return Vec::new();
        }
        let wanted = entry.members.values().filter(|member| is_checked(member));
        let wanted: HashSet<_> = wanted.map(|member| member.endpoint.id()).collect();
        self.checkers.extract_if(|id, _| !wanted.contains(id)).map(|(_, checker)| checker).collect()
    }

    /// Starts the checkers that are missing. What is known of those that nobody asks does not outlast the asking.
    fn settle(&mut self) {
        for member in self.entry.members.values() {
            match &self.question {
                None => condition::forget(&member.endpoint),
                Some(_) if !is_checked(member) => condition::suspend(&member.endpoint),
                Some(question) => {
                    let start = || Checker::new(&member.endpoint, question, &self.places).start();
                    self.checkers.entry(member.endpoint.id()).or_insert_with(start);
                }
            }
        }
    }
}

/// Draining backends are: until they have ended, they serve.
fn is_checked(member: &Member) -> bool {
    member.retired() != Some(Marks::GONE)
}
