//! What a proxy is told of backends, moment by moment.

use std::{collections::HashMap, time::Duration};

use prost::Message;
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use weir_proto::v1;

use crate::crowd::Told;

/// Everything that was told so far.
#[derive(Debug)]
pub(crate) struct Expiries {
    told: UnboundedReceiver<Told>,
    /// When each backend, by `service/address`, was last told to be one that gets nothing.
    pub(crate) gone: HashMap<String, Instant>,
    /// Every time that a backend that was live was told to be expired or removed.
    pub(crate) all: Vec<(Instant, String)>,
    /// How often anything was told of each.
    pub(crate) updates: HashMap<String, u64>,
}

impl Expiries {
    /// Those that arrive here.
    pub(crate) fn new(told: UnboundedReceiver<Told>) -> Self {
        Self { told, gone: HashMap::new(), all: Vec::new(), updates: HashMap::new() }
    }

    /// Takes in what was told in the meantime.
    pub(crate) fn read(&mut self) {
        while let Ok(Told { at, body }) = self.told.try_recv() {
            let body = v1::DeltaBody::decode(body).expect("a body whose digest was right");
            let backend = v1::ObjectKind::Backend as i32;
            for object in body.upserted.into_iter().filter(|object| object.kind == backend) {
                *self.updates.entry(object.name.clone()).or_default() += 1;
                let says = v1::Backend::decode(object.body).expect("a backend");
                if says.lease_state() == v1::LeaseState::Expired {
                    self.went(at, object.name);
                } else {
                    self.gone.remove(&object.name);
                }
            }
            for removed in body.removed.into_iter().filter(|removed| removed.kind == backend) {
                *self.updates.entry(removed.name.clone()).or_default() += 1;
                self.went(at, removed.name);
            }
        }
    }

    /// Forgets what was told so far, but not what is gone.
    pub(crate) fn begin(&mut self) {
        self.read();
        self.all.clear();
        self.updates.clear();
    }

    /// The most that went in any window of this length; all together, or in any one service.
    pub(crate) fn most_within(&self, window: Duration, by_service: bool) -> usize {
        let service = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
        let mut groups: HashMap<String, Vec<Instant>> = HashMap::new();
        for (at, name) in &self.all {
            groups.entry(if by_service { service(name) } else { String::new() }).or_default().push(*at);
        }
        let most = |times: &Vec<Instant>| {
            let within = |first: usize| times[first..].partition_point(|at| *at - times[first] < window);
            (0..times.len()).map(within).max().unwrap_or(0)
        };
        groups.values().map(most).max().unwrap_or(0)
    }

    fn went(&mut self, at: Instant, name: String) {
        if !self.gone.contains_key(&name) {
            self.all.push((at, name.clone()));
            self.gone.insert(name, at);
        }
    }
}
