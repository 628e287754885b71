//! Killed in the middle of everything: registrations, declarations, drains and removals, and the history of them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::task::JoinSet;
use weir_proto::v1;
use weir_tests::{Api, Daemons, until};

/// Callers at one time, each with things of its own.
const CALLERS: u8 = 6;
/// What each of them has at most.
const EACH: u32 = 8;

/// What was acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Each backend's state by the last answer; None: it is gone. Not those of which the last call was not answered.
    backends: BTreeMap<String, Option<v1::OperatorState>>,
    /// The retries that each service was declared with last.
    services: BTreeMap<String, u32>,
    /// The revisions that calls which changed something were answered.
    revisions: BTreeSet<u64>,
    twice: Vec<u64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_change_is_there_once_with_its_history() {
    let rounds = if crate::soak() { 60 } else { 10 };
    let mut daemons = Daemons::start(0).await;
    let known = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..rounds {
        let goal = known.lock().unwrap().revisions.len() + 5 + 11 * (round as usize % 7);
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(call(daemons.api.clone(), caller, round, Arc::clone(&known)));
        }
        until("changes", async || (known.lock().unwrap().revisions.len() >= goal).then_some(())).await;
        daemons.control_plane.kill().await;
        callers.join_all().await;
        daemons.restart_control_plane().await;
        let promised = std::mem::take(&mut *known.lock().unwrap());
        check(&daemons.api, &promised, &history(&daemons.api).await, round).await;
        *known.lock().unwrap() = promised;
    }
    let count = known.lock().unwrap().revisions.len();
    println!("{rounds} kills, {count} acknowledged revisions: 0 lost, 0 made twice, all in the history");
}

/// Changes what is its own until the control plane is gone.
async fn call(api: Api, caller: u8, round: u32, known: Arc<Mutex<Acknowledged>>) {
    let service = format!("s{caller}");
    for n in 0_u32.. {
        let address = SocketAddr::from(([10, 0, caller, u8::try_from(n % EACH).unwrap()], 80));
        let name = format!("{service}/{address}");
        let is = known.lock().unwrap().backends.get(&name).copied();
        // As long as it is not answered nobody knows.
        let unknown = || _ = known.lock().unwrap().backends.remove(&name);
        let (revision, now) = match is {
            _ if n % 6 == 0 => {
                let retries = (n + round) % 7;
                known.lock().unwrap().services.remove(&service);
                let Some((revision, changed)) = declare(&api, &service, retries).await else { return };
                let mut known = known.lock().unwrap();
                known.services.insert(service.clone(), retries);
                changed.then(|| known.made(revision));
                continue;
            }
            Some(None) => {
                unknown();
                let Ok(answer) = api.register(&service, address).await else { return };
                assert!(answer.created, "{name} was removed and is there");
                (Some(answer.revision), Some(v1::OperatorState::Enabled))
            }
            Some(Some(v1::OperatorState::Enabled)) => {
                unknown();
                let state = v1::OperatorState::Draining;
                let Ok(revision) = api.operator_state(&name, state).await else { return };
                (Some(revision), Some(state))
            }
            Some(Some(_)) | None => {
                unknown();
                let Ok(answer) = api.deregister(&name).await else { return };
                (answer.existed.then_some(answer.revision), None)
            }
        };
        let mut known = known.lock().unwrap();
        known.backends.insert(name, now);
        if let Some(revision) = revision {
            known.made(revision);
        }
    }
}

/// The revision, and whether it is a new one.
async fn declare(api: &Api, service: &str, retries: u32) -> Option<(u64, bool)> {
    let retry_policy = Some(v1::RetryPolicy { num_retries: Some(retries), ..Default::default() });
    let service = v1::Service { name: service.to_owned(), retry_policy, ..Default::default() };
    let document = v1::Document { services: vec![service], ..Default::default() };
    let request = v1::ApplyRequest { documents: vec![document], ..Default::default() };
    let answer = api.admin.clone().apply(request).await.ok()?.into_inner();
    let changed = answer.changes.iter().any(|c| c.kind() != v1::ChangeKind::Unchanged);
    Some((answer.revision, changed))
}

/// Every revision that is remembered, the newest first.
async fn history(api: &Api) -> Vec<u64> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::HistoryRequest { page_size: 1_000, page_token, automatic: true, object: None };
        let page = api.admin.clone().history(request).await.unwrap().into_inner();
        all.extend(page.revisions.iter().map(|info| info.revision));
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

async fn check(api: &Api, known: &Acknowledged, history: &[u64], round: u32) {
    assert_eq!(known.twice, Vec::<u64>::new(), "round {round}: revisions given to two changes");
    let now = api.status().await.unwrap().revision;
    assert_eq!(history.first(), Some(&now), "round {round}");
    assert!(history.windows(2).all(|w| w[0] > w[1]), "round {round}: {history:?}");
    let remembered: BTreeSet<u64> = history.iter().copied().collect();
    let forgotten: Vec<_> = known.revisions.difference(&remembered).collect();
    assert_eq!(forgotten, Vec::<&u64>::new(), "round {round}: acknowledged, and not in the history");
    let listed = api.backends("").await.unwrap();
    let found: BTreeMap<_, _> =
        listed.iter().map(|b| (format!("{}/{}", b.service, b.id), b.operator_state())).collect();
    assert_eq!(found.len(), listed.len(), "round {round}: something is there twice");
    for (name, state) in &known.backends {
        assert_eq!(found.get(name), state.as_ref(), "round {round}: {name}");
    }
    for (name, retries) in &known.services {
        let object = Some(v1::ObjectRef { kind: v1::ObjectKind::Service.into(), name: name.clone() });
        let info = api.admin.clone().get_object(v1::GetObjectRequest { object }).await.unwrap().into_inner();
        let Some(v1::resource::Resource::Service(service)) = info.resource.and_then(|r| r.resource) else {
            panic!("round {round}: {name} is no service")
        };
        let found = service.retry_policy.and_then(|policy| policy.num_retries);
        assert_eq!(found, Some(*retries), "round {round}: {name}");
    }
}

impl Acknowledged {
    fn made(&mut self, revision: u64) {
        if !self.revisions.insert(revision) {
            self.twice.push(revision);
        }
    }
}
