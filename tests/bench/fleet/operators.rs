//! Operators: they call twenty times a second, each call on a connection of its own, as the CLI does. On a thread of
//! their own, so that they wait for the control plane and the machine, but not for the fleet's tasks here.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use weir_proto::v1;
use weir_tests::Api;

use crate::report::{figure, times};

const PERIOD: Duration = Duration::from_millis(50);
/// An operator gives up after this.
const PATIENCE: Duration = Duration::from_secs(10);
const GOAL: Duration = Duration::from_millis(100);
/// What operators drain and enable in turn.
const SERVICE: &str = "operated";
const BACKEND: &str = "10.254.0.1:80";
/// What they ask, in turn.
const CALLS: [&str; 4] = ["GetStatus", "GetObject", "SetOperatorState", "Apply"];

/// They call until this is dropped.
#[derive(Debug)]
pub(crate) struct Operators {
    done: Arc<Mutex<Done>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Done {
    times: BTreeMap<&'static str, Vec<Duration>>,
    errors: BTreeMap<String, usize>,
}

impl Operators {
    /// Makes what they work with.
    pub(crate) async fn prepare(api: &Api) {
        let backend = v1::Backend {
            service: SERVICE.to_owned(),
            address: BACKEND.to_owned(),
            ..v1::Backend::default()
        };
        let request = v1::RegisterRequest { backend: Some(backend), ..v1::RegisterRequest::default() };
        api.registry.clone().register(request).await.expect("a registration");
    }

    /// Begins to call.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let done = Arc::new(Mutex::new(Done::default()));
        let stop = CancellationToken::new();
        let (stopped, calls) = (stop.clone(), run(address, Arc::clone(&done)));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(stopped.run_until_cancelled(calls));
        });
        Self { done, stop }
    }

    /// How long their calls took, and what failed.
    pub(crate) fn report(self) {
        self.stop.cancel();
        let done = self.done.lock().expect("not poisoned");
        for (call, all) in &done.times {
            times(format!("operators: {call}, with its connection"), all, None);
        }
        let all: Vec<Duration> = done.times.values().flatten().copied().collect();
        times("operators: all calls", &all, Some(GOAL));
        let errors: Vec<String> = done.errors.iter().map(|(code, count)| format!("{count} {code}")).collect();
        figure("operators: errors", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") });
    }
}

async fn run(address: SocketAddr, done: Arc<Mutex<Done>>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        let done = Arc::clone(&done);
        calls.spawn(async move {
            let began = Instant::now();
            let outcome = timeout(PATIENCE, call(address, number)).await;
            let took = began.elapsed();
            let mut done = done.lock().expect("not poisoned");
            done.times.entry(CALLS[number % CALLS.len()]).or_default().push(took);
            let failed = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(status)) => format!("{:?} ({})", status.code(), status.message()),
                Err(_) => format!("{:?} (no answer in {PATIENCE:?})", Code::DeadlineExceeded),
            };
            *done.errors.entry(failed).or_default() += 1;
        });
        while calls.try_join_next().is_some() {}
    }
}

async fn call(address: SocketAddr, number: usize) -> Result<(), Status> {
    let api = Api::at(address);
    let name = format!("{SERVICE}/{BACKEND}");
    match number % CALLS.len() {
        0 => api.status().await.map(|_| ()),
        1 => {
            let object = v1::ObjectRef { kind: v1::ObjectKind::Backend.into(), name };
            let request = v1::GetObjectRequest { object: Some(object) };
            api.admin.clone().get_object(request).await.map(|_| ())
        }
        2 => {
            let drained = (number / CALLS.len()).is_multiple_of(2);
            let state = if drained { v1::OperatorState::Draining } else { v1::OperatorState::Enabled };
            api.operator_state(&name, state).await.map(|_| ())
        }
        _ => {
            let name = format!("applied-{}", number / CALLS.len() % 10);
            let weight = 1 + number / CALLS.len() % 100;
            let weight = u32::try_from(weight).ok();
            let services = vec![v1::WeightedService { name: name.clone(), weight }];
            let host = v1::RouteMatch { host: format!("{name}.example"), ..v1::RouteMatch::default() };
            let service = v1::Service { name: name.clone(), ..v1::Service::default() };
            let route = v1::Route { name, r#match: Some(host), services, ..v1::Route::default() };
            let document =
                v1::Document { services: vec![service], routes: vec![route], ..v1::Document::default() };
            api.apply(document).await.map(|_| ())
        }
    }
}
