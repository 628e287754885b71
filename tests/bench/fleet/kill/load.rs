//! Writers that change their objects as fast as they are answered.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::task::JoinSet;
use tonic::{Code, Status};
use weir_proto::v1;
use weir_tests::Api;

use super::model::{Change, How, Model};

const DRAIN: Duration = Duration::from_secs(5);
/// Leases outlast the bench.
const TTL: Duration = Duration::from_mins(10);

/// One task for each writer.
#[derive(Debug)]
pub(super) struct Load {
    tasks: JoinSet<()>,
}

impl Load {
    /// Begins; each writer goes on until a call of it fails because the control plane is gone.
    pub(super) fn start(address: SocketAddr, models: &[Arc<Mutex<Model>>]) -> Self {
        let mut tasks = JoinSet::new();
        for model in models {
            tasks.spawn(write(Api::at(address), Arc::clone(model)));
        }
        Self { tasks }
    }

    /// Waits until all have noticed.
    pub(super) async fn end(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
    }
}

async fn write(api: Api, model: Arc<Mutex<Model>>) {
    loop {
        let change = model.lock().expect("not poisoned").begin();
        let outcome = make(&api, &change).await;
        let mut model = model.lock().expect("not poisoned");
        match outcome {
            Ok(revisions) => model.acknowledge(&revisions),
            // Said by the control plane before anything was done.
            Err(status) if is_refusal(&status) => model.refuse(),
            Err(_) => return,
        }
    }
}

/// The revisions that it made.
async fn make(api: &Api, change: &Change) -> Result<Vec<u64>, Status> {
    let weight = change.after.map(|says| says.weight);
    let (service, address) = change.name.split_once('/').unwrap_or((&change.name, ""));
    match change.how {
        How::Register { leased } => {
            let backend = v1::Backend {
                service: service.to_owned(),
                address: address.to_owned(),
                weight,
                ..v1::Backend::default()
            };
            let ttl = Some(weir_proto::duration_to_wire(TTL));
            let lease = leased.then(|| v1::LeaseTerms { ttl, ..v1::LeaseTerms::default() });
            let request = v1::RegisterRequest { backend: Some(backend), lease, owner: "writer".to_owned() };
            Ok(vec![api.registry.clone().register(request).await?.into_inner().revision])
        }
        How::Deregister => Ok(vec![api.deregister(&change.name).await?.revision]),
        How::Operator => {
            let drained = change.after.is_some_and(|says| says.drained);
            let state = if drained { v1::OperatorState::Draining } else { v1::OperatorState::Enabled };
            Ok(vec![api.operator_state(&change.name, state).await?])
        }
        How::Drain => drain(api, &change.name).await,
        How::Apply => {
            let services = vec![v1::WeightedService { name: "anything".to_owned(), weight }];
            let host =
                v1::RouteMatch { host: format!("{}.example", change.name), ..v1::RouteMatch::default() };
            let route = v1::Route {
                name: change.name.clone(),
                r#match: Some(host),
                services,
                ..v1::Route::default()
            };
            Ok(vec![api.apply(v1::Document { routes: vec![route], ..v1::Document::default() }).await?])
        }
        How::Delete => {
            let object = v1::ObjectRef { kind: v1::ObjectKind::Route.into(), name: change.name.clone() };
            let request =
                v1::DeleteObjectRequest { object: Some(object), ..v1::DeleteObjectRequest::default() };
            Ok(vec![api.admin.clone().delete_object(request).await?.into_inner().revision])
        }
    }
}

/// Two revisions: it drains, and it is gone.
async fn drain(api: &Api, backend: &str) -> Result<Vec<u64>, Status> {
    let timeout = Some(weir_proto::duration_to_wire(DRAIN));
    let request = v1::DrainRequest { backend: backend.to_owned(), timeout };
    let mut progress = api.admin.clone().drain(request).await?.into_inner();
    while let Some(progress) = progress.message().await? {
        if progress.phase() == v1::DrainPhase::Removed {
            return Ok(vec![progress.revision]);
        }
    }
    Err(Status::unavailable("the drain ended before its end"))
}

fn is_refusal(status: &Status) -> bool {
    matches!(status.code(), Code::ResourceExhausted | Code::FailedPrecondition | Code::Unimplemented)
}
