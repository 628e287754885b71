//! Clients that ask as fast as they get answers, each on one connection, until they are told to stop.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::Client;

/// Load that runs.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<Outcome>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
}

/// What became of the requests.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// Answers with 200, by their body.
    pub answers: BTreeMap<String, usize>,
    /// Everything else, in words; at most 20 of them are kept.
    pub failures: Vec<String>,
    /// How many failures there were.
    pub failed: usize,
}

impl Outcome {
    /// Requests that were answered with 200.
    #[must_use]
    pub fn ok(&self) -> usize {
        self.answers.values().sum()
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        if self.failures.len() < 20 {
            self.failures.push(why);
        }
    }

    fn add(&mut self, other: Self) {
        for (body, count) in other.answers {
            *self.answers.entry(body).or_default() += count;
        }
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(20);
    }
}

impl Load {
    /// Starts this many clients, each asking for `/` again `pause` after the last answer.
    #[must_use]
    pub fn start(address: SocketAddr, clients: usize, pause: Duration) -> Self {
        Self::of(address, clients, usize::MAX, pause)
    }

    /// Sends exactly `total` requests from this many clients, and waits for the end.
    pub async fn run(address: SocketAddr, clients: usize, total: usize) -> Outcome {
        Self::of(address, clients, total, Duration::ZERO).end().await
    }

    fn of(address: SocketAddr, clients: usize, total: usize, pause: Duration) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let left = Arc::new(AtomicUsize::new(total));
        let clients = (0..clients)
            .map(|_| client(address, left.clone(), pause, stop.clone(), answered.clone()))
            .collect();
        Self { clients, stop, answered }
    }

    /// How many requests have been answered with 200 so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Relaxed)
    }

    /// Waits until this many further requests have been answered with 200.
    pub async fn progress(&self, further: usize) {
        let goal = self.answered() + further;
        crate::until(&format!("{further} further answers"), async || (self.answered() >= goal).then_some(()))
            .await;
    }

    /// Lets every client finish its request.
    pub async fn stop(self) -> Outcome {
        self.stop.cancel();
        self.end().await
    }

    async fn end(mut self) -> Outcome {
        let mut total = Outcome::default();
        while let Some(outcome) = self.clients.join_next().await {
            total.add(outcome.expect("a client does not panic"));
        }
        total
    }
}

async fn client(
    address: SocketAddr,
    left: Arc<AtomicUsize>,
    pause: Duration,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection = None;
    while !stop.is_cancelled() && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
        let mut client = match connection.take() {
            Some(client) => client,
            None => match Client::open(address).await {
                Ok(client) => client,
                Err(error) => {
                    outcome.fail(format!("connect: {error}"));
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        match client.get("/").await {
            Ok(response) if response.status() == 200 => {
                *outcome.answers.entry(response.text()).or_default() += 1;
                answered.fetch_add(1, Relaxed);
                let last = response.head.get("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
                connection = (!last).then_some(client);
            }
            Ok(response) => outcome.fail(format!("{} {}", response.status(), response.text())),
            Err(error) => outcome.fail(format!("request: {error}")),
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    outcome
}
