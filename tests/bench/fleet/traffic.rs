//! Requests through a proxy to all services in turn, at a steady rate.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use weir_tests::Client;

/// Clients, and requests a second of each.
const CLIENTS: usize = 4;
const PERIOD: Duration = Duration::from_millis(4);

/// It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) answered: Arc<AtomicU64>,
    pub(crate) failed: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Traffic {
    /// Begins.
    pub(crate) fn start(proxy: SocketAddr, services: &[Arc<str>]) -> Self {
        let mut traffic = Self { answered: Arc::default(), failed: Arc::default(), tasks: JoinSet::new() };
        for number in 0..CLIENTS {
            let (services, counts) = (services.to_vec(), (traffic.answered.clone(), traffic.failed.clone()));
            traffic.tasks.spawn(run(proxy, services, number, counts));
        }
        traffic
    }
}

async fn run(
    proxy: SocketAddr,
    services: Vec<Arc<str>>,
    first: usize,
    (answered, failed): (Arc<AtomicU64>, Arc<AtomicU64>),
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    for number in (first..).step_by(CLIENTS) {
        ticks.tick().await;
        let open = match client.take() {
            Some(open) => Ok(open),
            None => Client::open(proxy).await,
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", services[number % services.len()]);
        let outcome = async {
            let mut open = open?;
            let status = open.send("GET", &request).await?.status();
            Ok::<_, std::io::Error>((open, status))
        };
        match outcome.await {
            Ok((open, status)) => {
                client = Some(open);
                if status == 200 { &answered } else { &failed }.fetch_add(1, Relaxed);
            }
            Err(_) => {
                failed.fetch_add(1, Relaxed);
            }
        }
    }
}
