//! A control plane that answers as a test says, and the program that asks it.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{Stream, StreamExt, stream};
use tokio::{net::TcpListener, process::Command};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use weir_proto::{
    CALLER,
    v1::{self, admin_server::AdminServer, registry_server::RegistryServer},
};

/// What a test made of its calls: one handler for each type of request. What has none is not implemented.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    handlers: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    callers: Arc<Mutex<Vec<String>>>,
}

/// A fake that listens.
pub(crate) struct Listening {
    address: SocketAddr,
    callers: Arc<Mutex<Vec<String>>>,
}

/// How the program ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What an answer of many parts does next; at the end of them it ends well.
#[derive(Debug, Clone)]
pub(crate) enum Step<T> {
    Say(T),
    Fail(Status),
    Hang,
}

type Handler<Q, A> = Box<dyn Fn(Q) -> Result<A, Status> + Send + Sync>;
type Steps<T> = Vec<Step<T>>;

impl Fake {
    /// Answers requests of this type so.
    pub(crate) fn on<Q: 'static, A: 'static>(
        mut self,
        handler: impl Fn(Q) -> Result<A, Status> + Send + Sync + 'static,
    ) -> Self {
        let handler: Handler<Q, A> = Box::new(handler);
        self.handlers.insert(TypeId::of::<Q>(), Arc::new(handler));
        self
    }

    /// Listens until the test ends.
    pub(crate) async fn listen(self) -> Listening {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let callers = Arc::clone(&self.callers);
        let server = Server::builder()
            .add_service(AdminServer::new(self.clone()))
            .add_service(RegistryServer::new(self))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Listening { address, callers }
    }

    fn answer<Q: 'static, A: 'static>(&self, request: Request<Q>) -> Result<A, Status> {
        let caller = request.metadata().get(CALLER).and_then(|name| name.to_str().ok()).unwrap_or_default();
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).push(caller.to_owned());
        let Some(handler) = self.handlers.get(&TypeId::of::<Q>()) else {
            return Err(Status::unimplemented(""));
        };
        let handler = handler.downcast_ref::<Handler<Q, A>>().expect("a handler of the call's types");
        handler(request.into_inner())
    }

    fn stream<Q: 'static, T: Send + 'static>(&self, request: Request<Q>) -> Answer<Parts<T>> {
        let steps: Steps<T> = self.answer(request)?;
        let parts = stream::iter(steps).then(|step| async {
            match step {
                Step::Say(part) => Ok(part),
                Step::Fail(status) => Err(status),
                Step::Hang => std::future::pending().await,
            }
        });
        Ok(Response::new(parts.boxed()))
    }
}

impl Listening {
    /// The program, about to ask this control plane.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.env("WEIR_CONTROL_PLANE", format!("http://{}", self.address)).env("USER", "alice");
        for name in ["WEIR_CALLER", "WEIR_OUTPUT", "WEIR_TIMEOUT"] {
            weir.env_remove(name);
        }
        weir.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        weir
    }

    /// Runs the program to its end.
    pub(crate) async fn weir(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().await.expect("weir runs"))
    }

    /// The same, with its output as JSON.
    pub(crate) async fn json(&self, args: &[&str]) -> (Option<i32>, serde_json::Value) {
        let ended = self.weir(&[args, &["-o", "json"]].concat()).await;
        (ended.code, serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}")))
    }

    /// Who the calls so far said that they come from.
    pub(crate) fn callers(&self) -> Vec<String> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ended {
    pub(crate) fn of(output: &std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Answers of one part, then those of many.
macro_rules! serve {
    (
        $trait:path, $($one:ident: $q:ident -> $a:ident,)*
        ; $($many:ident: $stream:ident: $sq:ident -> $sa:ident,)*
        ; $($rest:tt)*
    ) => {
        #[tonic::async_trait]
        impl $trait for Fake {
            $(async fn $one(&self, request: Request<v1::$q>) -> Answer<v1::$a> {
                self.answer(request).map(Response::new)
            })*
            $(type $stream = Parts<v1::$sa>;
            async fn $many(&self, request: Request<v1::$sq>) -> Answer<Parts<v1::$sa>> {
                self.stream(request)
            })*
            $($rest)*
        }
    };
}

type Answer<T> = Result<Response<T>, Status>;
type Parts<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

serve! {
    v1::admin_server::Admin,
    apply: ApplyRequest -> ApplyResponse,
    get_object: GetObjectRequest -> ObjectInfo,
    set_default_route: SetDefaultRouteRequest -> SetDefaultRouteResponse,
    list_objects: ListObjectsRequest -> ListObjectsResponse,
    delete_object: DeleteObjectRequest -> DeleteObjectResponse,
    set_operator_state: SetOperatorStateRequest -> SetOperatorStateResponse,
    set_backend_weight: SetBackendWeightRequest -> SetBackendWeightResponse,
    history: HistoryRequest -> HistoryResponse,
    diff: DiffRequest -> DiffResponse,
    rollback: RollbackRequest -> RollbackResponse,
    list_audit: ListAuditRequest -> ListAuditResponse,
    compact: CompactRequest -> CompactResponse,
    list_proxies: ListProxiesRequest -> ListProxiesResponse,
    get_status: GetStatusRequest -> GetStatusResponse,
    accept_epoch: AcceptEpochRequest -> AcceptEpochResponse,
    explain: ExplainRequest -> ExplainResponse,
    list_conditions: ListConditionsRequest -> ListConditionsResponse,
    ;
    drain: DrainStream: DrainRequest -> DrainProgress,
    revision_status: RevisionStatusStream: RevisionStatusRequest -> RevisionStatusResponse,
    backup: BackupStream: BackupRequest -> BackupChunk,
    watch_events: WatchEventsStream: WatchEventsRequest -> Event,
    ;
}

serve! {
    v1::registry_server::Registry,
    register: RegisterRequest -> RegisterResponse,
    deregister: DeregisterRequest -> DeregisterResponse,
    ; ;
    type HeartbeatStream = Parts<v1::HeartbeatResponse>;
    async fn heartbeat(
        &self,
        _: Request<tonic::Streaming<v1::HeartbeatRequest>>,
    ) -> Answer<Self::HeartbeatStream> {
        Err(Status::unimplemented(""))
    }
}
