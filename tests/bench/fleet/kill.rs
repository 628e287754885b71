//! The control plane killed at random moments under a mixed load: what it acknowledged is there afterwards, once.

mod load;
mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tonic::{Code, Status};
use weir_proto::v1;
use weir_tests::Api;

use self::{load::Load, model::Model};
use crate::{
    plane::Plane,
    report::{exactly, figure, times},
};

/// Who changes things at one time, each with objects of its own.
const WRITERS: usize = 8;
/// From a start to the death.
const ALIVE: std::ops::Range<u64> = 20..250;
const START: Duration = Duration::from_secs(1);
const MOST_PAGE: u32 = 1_000;

/// What was found wrong, over all deaths.
#[derive(Debug, Default)]
struct Wrong {
    lost: u64,
    doubled: u64,
    repeated: u64,
}

/// Kills it that many times.
pub(crate) async fn run(kills: usize) {
    let mut plane = Plane::start().await;
    let models: Vec<Arc<Mutex<Model>>> =
        (0..WRITERS).map(|number| Arc::new(Mutex::new(Model::new(number)))).collect();
    let (mut starts, mut wrong, mut before) = (Vec::new(), Wrong::default(), 0);
    for _ in 0..kills {
        let load = Load::start(plane.grpc, &models);
        sleep(Duration::from_millis(fastrand::u64(ALIVE))).await;
        plane.kill().await;
        load.end().await;
        starts.push(plane.restart().await);
        let after = check(&plane.api(), &models, &mut wrong).await;
        wrong.repeated += u64::from(after < before);
        before = after;
    }
    let sum = |of: fn(&Model) -> u64| {
        models.iter().map(|model| of(&model.lock().expect("not poisoned"))).sum::<u64>()
    };
    figure("deaths", kills);
    figure("changes acknowledged", sum(|model| model.acknowledged.len() as u64));
    figure("calls whose end nobody knows, because of a death", sum(|model| model.in_doubt));
    figure("calls that were refused", sum(|model| model.refused));
    exactly("acknowledged changes that were lost", wrong.lost, 0);
    exactly("objects that were there twice", wrong.doubled, 0);
    exactly("times that a revision went back", wrong.repeated, 0);
    let mut seen = BTreeSet::new();
    let all = models.iter().flat_map(|model| model.lock().expect("not poisoned").acknowledged.clone());
    exactly(
        "revisions that were given twice",
        all.filter(|revision| !seen.insert(*revision)).count() as u64,
        0,
    );
    match history(&plane.api()).await {
        Ok((listed, floor)) => {
            let missing = seen.iter().filter(|revision| **revision > floor && !listed.contains_key(revision));
            figure("revisions in the history, and its floor", format!("{}, {floor}", listed.len()));
            exactly("acknowledged revisions that are not in the history", missing.count() as u64, 0);
            let twice = listed.values().filter(|times| **times > 1).count();
            exactly("revisions that are in the history twice", twice as u64, 0);
        }
        Err(status) => figure("history", format!("{:?} {}", status.code(), status.message())),
    }
    times("start until ready", &starts, Some(START));
}

/// Compares what is there with what should be. The present revision.
async fn check(api: &Api, models: &[Arc<Mutex<Model>>], wrong: &mut Wrong) -> u64 {
    let mut found = BTreeMap::new();
    for kind in [v1::ObjectKind::Backend, v1::ObjectKind::Route] {
        for object in list(api, kind).await {
            wrong.doubled += u64::from(model::insert(&mut found, object).is_some());
        }
    }
    for model in models {
        wrong.lost += model.lock().expect("not poisoned").settle(&found);
    }
    api.answers().await.revision
}

async fn list(api: &Api, kind: v1::ObjectKind) -> Vec<v1::ObjectInfo> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListObjectsRequest {
            kind: kind.into(),
            page_size: MOST_PAGE,
            page_token,
            ..Default::default()
        };
        let page = api.admin.clone().list_objects(request).await.expect("a list").into_inner();
        all.extend(page.objects);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// How often each revision is in the history, and its floor.
async fn history(api: &Api) -> Result<(BTreeMap<u64, u64>, u64), Status> {
    let (mut listed, mut page_token) = (BTreeMap::new(), String::new());
    loop {
        let request =
            v1::HistoryRequest { page_size: MOST_PAGE, page_token, automatic: true, ..Default::default() };
        let page = match api.admin.clone().history(request).await {
            Ok(page) => page.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => return Err(status),
            Err(status) => panic!("history: {status}"),
        };
        for info in page.revisions {
            *listed.entry(info.revision).or_default() += 1;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok((listed, page.floor));
        }
    }
}
