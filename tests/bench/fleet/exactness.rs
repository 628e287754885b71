//! Ten thousand leases: some fall silent one by one, then many at once, then one comes and goes.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use weir_tests::Api;

use crate::{
    agents::{Agents, Member},
    crowd::Crowd,
    expiries::Expiries,
    fronts::Fronts,
    plane::Plane,
    real::Real,
    report::{at_most, exactly, figure, number, part, times},
    traffic::Traffic,
};

const SERVICES: usize = 50;
/// Backends of each service.
const EACH: usize = 200;
const BATCH: usize = 1_000;
/// Each period's heartbeats are spread over so many messages.
const PARTS: usize = 10;
/// Of a hundred backends, how many fall silent one by one, and how many at once.
const SILENT: usize = 10;
const CUT: usize = 40;
/// Of a hundred live leases, the most that may expire in one ttl.
const CAP: usize = 15;
const LATE: Duration = Duration::from_secs(1);
/// Waiting for what should come by itself ends here.
const MOST: Duration = Duration::from_mins(5);
const FLAPS: u32 = 60;
const MOST_UPDATES: u64 = 5;

/// With leases of this ttl; those that fall silent do so within `over`.
pub(crate) async fn run(ttl: Duration, over: Duration) {
    let plane = Plane::start().await;
    let services: Vec<Arc<str>> = (0..SERVICES).map(|number| format!("service-{number:04}").into()).collect();
    let fronts = Fronts::start(EACH, &services).await;
    let pairs = fronts.addresses.iter().flat_map(|at| services.iter().map(|name| (Arc::clone(name), *at)));
    let mut agents = Agents::of(plane.grpc, pairs.collect(), ttl);
    agents.beat(BATCH, ttl / 3, PARTS);
    let count = agents.members().len();
    agents.register(count).await;
    let (teller, told) = mpsc::unbounded_channel();
    let mut crowd = Crowd::new(plane.grpc, 1, Some(teller));
    crowd.connect().await;
    let mut expiries = Expiries::new(told);
    let real = Real::start(plane.grpc, 1).await;
    let revision = plane.status().await.expect("a status").revision;
    Real::all_have(&real, revision, MOST).await.expect("a proxy that follows");
    let traffic = Traffic::start(real[0].traffic, &services);

    one_by_one(&agents, &fronts, &mut expiries, over).await;
    come_back(&plane, &agents).await;
    at_once(&plane, &agents, &mut expiries).await;
    come_back(&plane, &agents).await;
    let (answered, failed) = (traffic.answered.load(Relaxed), traffic.failed.load(Relaxed));
    figure("requests through the proxy all the time", format!("{answered} answered, {failed} not"));
    drop(traffic);
    flap(&plane.api(), &mut expiries).await;
    exactly("wrong digests", crowd.counts().wrong_digests.load(Relaxed), 0);
}

async fn one_by_one(agents: &Agents, fronts: &Fronts, expiries: &mut Expiries, over: Duration) {
    let ttl = agents.shared.ttl;
    let chosen = choose(agents, SILENT);
    part(format!(
        "{} of {} leases with a ttl of {ttl:?} fall silent within {over:?}",
        chosen.len(),
        agents.members().len()
    ));
    expiries.begin();
    let began = Instant::now();
    let mut moments: Vec<Duration> = chosen.iter().map(|_| over.mul_f64(fastrand::f64())).collect();
    moments.sort();
    for (member, moment) in chosen.iter().zip(moments) {
        sleep_until(began + moment).await;
        member.silent.store(true, Relaxed);
    }
    sleep(ttl + LATE * 3).await;
    expiries.read();

    let (mut told, mut asked) = (Vec::new(), Vec::new());
    let (mut early, mut stay, mut late) = (0, 0, 0);
    for member in &chosen {
        let Some(beat) = member.beat_at.get() else { continue };
        let last = fronts.asked(&member.service, member.address);
        asked.extend(last.map(|last| last.saturating_duration_since(beat)));
        match expiries.gone.get(&member.name()) {
            Some(at) => {
                let after = at.saturating_duration_since(beat);
                early += u64::from(after < ttl);
                told.push(after);
            }
            None => stay += 1,
        }
        late += u64::from(last.is_some_and(|last| last > beat + ttl + LATE));
    }
    let most = told.iter().max().copied().unwrap_or_default();
    at_most(
        "longest from the last heartbeat until a proxy is told that it expired",
        most.as_secs_f64(),
        "s",
        (ttl + LATE).as_secs_f64(),
    );
    times("all of them", &told, None);
    exactly("silent ones that did not expire", stay, 0);
    exactly("silent ones that expired before their ttl", early, 0);
    println!("  the quickest of all: {:.3} s", told.iter().min().copied().unwrap_or_default().as_secs_f64());
    times("from the last heartbeat to the last request of a real proxy", &asked, None);
    exactly("silent ones that were asked after ttl + 1 s", late, 0);
    let others = expiries.all.iter().filter(|(_, name)| !chosen.iter().any(|member| member.name() == *name));
    exactly("others that expired", others.count() as u64, 0);
}

async fn at_once(plane: &Plane, agents: &Agents, expiries: &mut Expiries) {
    let ttl = agents.shared.ttl;
    let count = agents.members().len();
    let chosen = choose(agents, CUT);
    part(format!("{} of {count} leases fall silent at once, for three ttls", chosen.len()));
    expiries.begin();
    for member in &chosen {
        member.silent.store(true, Relaxed);
    }
    sleep(ttl * 2).await;
    if let Ok(status) = plane.status().await {
        figure(
            "overdue leases then, and whether all are protected",
            format!("{}, {}", status.overdue_leases, status.self_preservation),
        );
    }
    sleep(ttl).await;
    expiries.read();
    let cap = |of: usize| number((of * CAP / 100) as u64);
    at_most(
        "most expiries within any ttl, of all",
        number(expiries.most_within(ttl, false) as u64),
        "",
        cap(count),
    );
    at_most(
        "most expiries within any ttl, of one service",
        number(expiries.most_within(ttl, true) as u64),
        "",
        cap(EACH),
    );
    figure("expiries in all", expiries.all.len());
}

/// Has everybody renew again, and waits until everything is as it was without any other help.
async fn come_back(plane: &Plane, agents: &Agents) {
    let count = agents.members().len() as u64;
    for member in agents.members() {
        member.silent.store(false, Relaxed);
    }
    let began = Instant::now();
    loop {
        let status = plane.status().await.expect("a status");
        let rest = status.overdue_leases + u64::from(status.self_preservation);
        if status.live_leases == count && status.backends == count && rest == 0 {
            return figure("all live again without a hand, after", format!("{:.1?}", began.elapsed()));
        }
        if began.elapsed() > MOST {
            let live = status.live_leases;
            return figure("all live again", format!("only {live} of {count} after {MOST:?}: MISSED"));
        }
        sleep(LATE / 10).await;
    }
}

/// A backend that is registered and deregistered once a second, for a minute.
async fn flap(api: &Api, expiries: &mut Expiries) {
    part(format!("one backend goes and comes back once a second, {FLAPS} times"));
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut registered = api.lease("flapping", address, Duration::from_secs(15)).await;
    sleep(LATE).await;
    expiries.begin();
    let mut ticks = interval(LATE / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = 0_u64;
    for _ in 0..FLAPS {
        ticks.tick().await;
        if let Ok(lease) = &registered {
            let target = weir_proto::v1::deregister_request::Target::LeaseId(lease.lease_id);
            let request = weir_proto::v1::DeregisterRequest { target: Some(target), drain: None };
            api.registry.clone().deregister(request).await.expect("an answer");
        }
        ticks.tick().await;
        registered = api.lease("flapping", address, Duration::from_secs(15)).await;
        refused += u64::from(registered.is_err());
    }
    sleep(LATE * 2).await;
    expiries.read();
    let updates = expiries.updates.get(&format!("flapping/{address}")).copied().unwrap_or(0);
    at_most("updates of it on a discovery stream", number(updates), "", number(MOST_UPDATES));
    figure("registrations that were put off", refused);
}

/// So many of a hundred, at random.
fn choose(agents: &Agents, percent: usize) -> Vec<&Member> {
    let mut all: Vec<&Member> = agents.members().iter().collect();
    fastrand::shuffle(&mut all);
    all.truncate(all.len() * percent / 100);
    all
}
