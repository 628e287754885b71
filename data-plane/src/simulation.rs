//! A proxy without sockets and threads: what a check of the whole drives. It is all of the real one from a message of
//! the control plane to the table by which requests would be served; nothing here is part of the program.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::{Mutex, mpsc, watch};
use tonic::Streaming;
use weir_proto::{ProxyId, v1};

use crate::{
    Config,
    admission::Shed,
    discovery::{Discovery, Identity, Link},
    last_good::format,
    lifecycle::Phase,
    metrics::ConfigMetrics,
    table::{Applier, Here, SharedTable},
    worker::Workers,
};

/// One run of a proxy.
#[derive(Debug)]
pub struct Proxy {
    discovery: Discovery,
    phase: watch::Sender<Phase>,
}

/// What a proxy has.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Where its objects stand in the history of which store. The digest is that of the objects.
    pub position: v1::Position,
    /// Everything that it received.
    pub objects: Vec<v1::Object>,
    /// The backends that a request might be sent to: `service/id`.
    pub routable: BTreeSet<String>,
}

impl Proxy {
    /// Starts it: from that copy of an earlier run, if there is one.
    pub async fn start(id: &str, boot_id: u64, copy: Option<&[u8]>) -> Self {
        let id = ProxyId::try_from(id).unwrap_or_else(|e| panic!("{e}"));
        let table = Arc::new(SharedTable::empty());
        let shed = Shed::new(1, &Config::default());
        let workers = Workers::start(0, &id, &table, None, &shed);
        let workers = Arc::new(workers.unwrap_or_else(|e| panic!("no threads are asked for: {e}")));
        let metrics = ConfigMetrics::default();
        let mut applier =
            Applier::new(Arc::clone(&table), Arc::clone(&workers), Here::default(), metrics.clone());
        if let Some(copy) = copy {
            let (copy, _) = format::decode(copy).unwrap_or_else(|e| panic!("the copy is bad: {e}"));
            applier.restore(copy).await;
        }
        let (phase, phases) = watch::channel(Phase::Serving);
        let (zone, advertised_address) = (String::new(), String::new());
        let identity = Identity { id, boot_id, zone, advertised_address, listen: None };
        let discovery = Discovery {
            control_planes: Vec::new(),
            identity,
            applier: Arc::new(Mutex::new(applier)),
            table,
            workers,
            phase: phases,
            link: watch::Sender::new(Link::default()),
            metrics,
            bounds: Config::default().bounds(None),
        };
        Self { discovery, phase }
    }

    /// How it begins a stream.
    pub async fn hello(&self) -> v1::ProxyMessage {
        let hello = v1::proxy_message::Message::Hello(self.discovery.hello().await);
        v1::ProxyMessage { message: Some(hello) }
    }

    /// Follows a stream to its end; why it ended, for people.
    pub async fn follow(
        &self,
        inbound: Streaming<v1::ControlMessage>,
        outbound: mpsc::Sender<v1::ProxyMessage>,
    ) -> String {
        self.discovery.follow_open(inbound, outbound).await
    }

    /// Says from now on that it is about to end.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// What it would write to its disk now.
    pub async fn copy(&self) -> Option<Vec<u8>> {
        self.discovery.applier.lock().await.copy().map(|copy| format::encode(&copy))
    }

    /// Where it is: cheaper than all of [`Proxy::view`].
    pub async fn position(&self) -> Option<v1::Position> {
        let applier = self.discovery.applier.lock().await;
        applier.state().map(|state| v1::Position {
            digest: state.objects.digest().0,
            ..v1::Position::from(state.position)
        })
    }

    /// What it has; None before its first state.
    pub async fn view(&self) -> Option<View> {
        let position = self.position().await?;
        let applier = self.discovery.applier.lock().await;
        let objects = applier.state()?.objects.iter().map(|(key, received)| v1::Object {
            kind: key.kind.into(),
            name: key.name.to_string(),
            body: received.body.clone(),
            level: received.level,
        });
        let objects = objects.collect();
        let table = self.discovery.table.load_full()?;
        let members = table.services.values().flat_map(|entry| entry.members.values());
        // What a pick asks of an endpoint: its marks, whatever the table says of the backend.
        let routable = members.filter(|m| !m.endpoint.is_retired(false));
        Some(View { position, objects, routable: routable.map(|m| m.backend.key.to_string()).collect() })
    }
}
