//! The heartbeats of one agent: a stream that renews its leases, part by part, and registers again what is unknown.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};
use weir_proto::v1::{self, registry_client::RegistryClient};

use crate::{
    agents::{Member, Shared},
    plane::channel,
};

/// After a stream is lost, the next one is opened within this time.
const MOST_PAUSE: Duration = Duration::from_millis(500);
/// Messages that wait to be sent.
const OUTGOING: usize = 4;

/// Renews these members for ever. When a stream is lost, all of them are renewed at once on the next one.
pub(crate) async fn run(shared: Arc<Shared>, members: Range<usize>, period: Duration, parts: usize) {
    sleep(period.mul_f64(fastrand::f64())).await;
    let mut client = RegistryClient::new(channel(shared.address));
    let mut again = false;
    loop {
        let _ = follow(&shared, &mut client, members.clone(), (period, parts), again).await;
        shared.counts.lost_streams.fetch_add(1, Relaxed);
        again = true;
        sleep(MOST_PAUSE.mul_f64(fastrand::f64())).await;
    }
}

async fn follow(
    shared: &Shared,
    client: &mut RegistryClient<Channel>,
    members: Range<usize>,
    (period, parts): (Duration, usize),
    all_at_once: bool,
) -> Result<(), Status> {
    let (sender, requests) = mpsc::channel(OUTGOING);
    let mut answers = client.heartbeat(ReceiverStream::new(requests)).await?.into_inner();
    let every = members.len().div_ceil(parts).max(1);
    let part = |number: usize| {
        let first = members.start + number * every;
        first.min(members.end)..(first + every).min(members.end)
    };
    let mut sizes = HashMap::new();
    let mut ticks = interval(period / u32::try_from(parts).unwrap_or(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sequence = 0;
    if all_at_once {
        let lease_ids = renewing(shared, members.clone());
        sizes.insert(sequence, lease_ids.len());
        sender.send(v1::HeartbeatRequest { lease_ids, sequence }).await.map_err(|_| ended())?;
        sequence += 1;
    }
    let mut turn = 0;
    loop {
        tokio::select! {
            answer = answers.message() => {
                let answer = answer?.ok_or_else(ended)?;
                let size = sizes.remove(&answer.sequence).unwrap_or(0);
                shared.counts.renewed.fetch_add(size as u64, Relaxed);
                if !answer.unknown_lease_ids.is_empty() {
                    shared.counts.unknown.fetch_add(answer.unknown_lease_ids.len() as u64, Relaxed);
                    let unknown = answer.unknown_lease_ids.into_iter().collect();
                    register_again(shared, client, members.clone(), &unknown).await;
                }
            }
            _ = ticks.tick() => {
                let lease_ids = renewing(shared, part(turn));
                turn = (turn + 1) % parts;
                if !lease_ids.is_empty() {
                    sizes.insert(sequence, lease_ids.len());
                    sender.send(v1::HeartbeatRequest { lease_ids, sequence }).await.map_err(|_| ended())?;
                    sequence += 1;
                }
            }
        }
    }
}

fn renewing(shared: &Shared, members: Range<usize>) -> Vec<u64> {
    let renews = |member: &&Member| member.lease.load(Relaxed) != 0 && !member.silent.load(Relaxed);
    let renewed = |member: &Member| {
        member.beat_at.now();
        member.lease.load(Relaxed)
    };
    shared.members[members].iter().filter(renews).map(renewed).collect()
}

async fn register_again(
    shared: &Shared,
    client: &mut RegistryClient<Channel>,
    members: Range<usize>,
    unknown: &HashSet<u64>,
) {
    for member in &shared.members[members] {
        if unknown.contains(&member.lease.load(Relaxed)) {
            shared.register(client, member).await;
        }
    }
}

fn ended() -> Status {
    Status::unavailable("the stream ended")
}
