//! What the connected proxies find of backends, at one moment: cheap to take, and read without any lock.

use std::{collections::HashSet, sync::Arc};

use weir_proto::{ProxyId, v1};

use super::{
    Fleet,
    conditions::{Conditions, WORDS},
};

/// The reports of all connected proxies.
#[derive(Debug)]
pub(crate) struct Views {
    connected: u32,
    /// Of those that find anything, in the order of their ids.
    troubled: Vec<(ProxyId, Arc<Conditions>)>,
}

impl Fleet {
    /// What the connected proxies reported last.
    pub(crate) fn views(&self) -> Views {
        let roster = self.lock();
        let mut views = Views { connected: 0, troubled: Vec::new() };
        for member in roster.connected() {
            views.connected = views.connected.saturating_add(1);
            if let Some(conditions) = member.conditions().filter(|conditions| !conditions.is_empty()) {
                views.troubled.push((member.identity.id.clone(), Arc::clone(conditions)));
            }
        }
        views
    }
}

impl Views {
    /// How many proxies are connected.
    pub(crate) fn connected(&self) -> u32 {
        self.connected
    }

    /// What they find of one backend, as far as it is trouble.
    pub(crate) fn of(&self, backend: &str) -> Vec<v1::ProxyCondition> {
        let found = self.troubled.iter().filter_map(|(id, conditions)| {
            let condition = Some(conditions.of(backend)?);
            Some(v1::ProxyCondition { proxy_id: id.to_string(), condition })
        });
        found.collect()
    }

    /// Whether there are proxies, and every one of them finds the backend unhealthy.
    pub(crate) fn is_dead(&self, backend: &str) -> bool {
        let unhealthy = |conditions: &Conditions| conditions.is_unhealthy(backend);
        self.connected > 0
            && self.troubled.len() == self.connected as usize
            && self.troubled.iter().all(|(_, conditions)| unhealthy(conditions))
    }

    /// Those of which [`Views::is_dead`] is true, each as `service/id`.
    pub(crate) fn dead(&self) -> HashSet<String> {
        let unhealthy = self.troubled.first().into_iter().flat_map(|(_, conditions)| conditions.unhealthy());
        unhealthy.filter(|backend| self.is_dead(backend)).map(str::to_owned).collect()
    }

    /// How many backends are in each condition, every proxy counting for itself.
    pub(crate) fn count(&self) -> [(&'static str, usize); WORDS.len()] {
        WORDS.map(|word| {
            let words = self.troubled.iter().flat_map(|(_, conditions)| conditions.words());
            (word, words.filter(|each| *each == word).count())
        })
    }
}
