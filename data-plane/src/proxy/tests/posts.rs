//! What must not be done twice is not, whatever backends do; and retries are no storm.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{io::AsyncReadExt, time::Instant};
use weir_proto::{RetryOn, Service};

use super::{
    harness::{Backend, Proxy, Served, eager, field, refusing, service},
    replay::text,
};

/// How often each request was seen, by its id.
type Seen = Arc<Mutex<HashMap<usize, usize>>>;

/// How many, in a run that may take its time.
fn requests() -> usize {
    if std::env::var_os("WEIR_SOAK").is_some() { 10_000 } else { 2_000 }
}

/// Everything is worth a retry, so that only the method speaks against it.
fn keen(service: &mut Service) {
    eager(service);
    service.retry_policy.num_retries = 5;
    service.retry_policy.retry_on.extend([
        RetryOn::GatewayError,
        RetryOn::ServerError,
        RetryOn::Retriable4xx,
    ]);
}

/// Ends its connections at random points.
async fn moody(seen: &Seen) -> Backend {
    let seen = Arc::clone(seen);
    Backend::scripted(move |served| mood(served, Arc::clone(&seen))).await
}

async fn mood(mut served: Served, seen: Seen) {
    loop {
        if fastrand::u8(..10) == 0 {
            // What has come is not read: the connection is reset.
            let _ = served.stream.get_ref().readable().await;
            return;
        }
        let Some(head) = served.head().await else { return };
        let id = field(&head, "x-id").unwrap().parse().unwrap();
        *seen.lock().unwrap().entry(id).or_default() += 1;
        let length: usize = field(&head, "content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        let mood = fastrand::u8(..10);
        let taken = match mood {
            0 => return,
            1 => fastrand::usize(..length),
            _ => length,
        };
        if served.stream.read_exact(&mut body[..taken]).await.is_err() || taken < length {
            return;
        }
        match mood {
            2 => return,
            3 => return served.send("HTTP/1.1 200 OK\r\ncont").await,
            4 => served.send("HTTP/1.1 503 So\r\ncontent-length: 0\r\n\r\n").await,
            5 => served.send("HTTP/9 no\r\n\r\n").await,
            6 => {
                served.answer("done").await;
                // An idle connection that ends, perhaps just when the next request comes.
                return;
            }
            _ => served.answer("done").await,
        }
    }
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    const CLIENTS: usize = 20;
    let seen = Seen::default();
    let (one, two, three) = (moody(&seen).await, moody(&seen).await, moody(&seen).await);
    let addresses = [one.address, two.address, three.address, refusing()];
    let proxy = Arc::new(Proxy::of(vec![service("web", &addresses, keen)]).await);
    let bodies: Arc<[String]> = [1, 100, 5_000, 20_000, 70_000].map(text).into();
    let mut clients = Vec::new();
    for first in 0..CLIENTS {
        let (proxy, bodies) = (Arc::clone(&proxy), Arc::clone(&bodies));
        clients.push(tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for id in (first..requests()).step_by(CLIENTS) {
                let body = &bodies[fastrand::usize(..bodies.len())];
                let head = format!(
                    "POST / HTTP/1.1\r\nhost: a\r\nx-id: {id}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let response = proxy.ask(&(head + body)).await;
                outcomes.push((id, response.status()));
            }
            outcomes
        }));
    }
    let mut outcomes = HashMap::new();
    for client in clients {
        outcomes.extend(client.await.unwrap());
    }
    let seen = seen.lock().unwrap();
    assert_eq!(outcomes.len(), requests());
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let done = |status| outcomes.iter().filter(|(_, outcome)| **outcome == status).count();
    assert!(outcomes.iter().all(|(id, outcome)| *outcome != 200 || seen.contains_key(id)));
    let (ok, bad) = (done(200), done(502) + done(503));
    assert!(ok > requests() / 4 && bad > requests() / 4 && ok + bad == requests(), "{ok} {bad}");
    assert!(proxy.workers.counters().retries > 0, "those that met no connection");
}

#[tokio::test]
async fn retries_are_a_share_of_the_requests() {
    const REQUESTS: usize = 400;
    let (one, two, three) =
        (Backend::resetting().await, Backend::resetting().await, Backend::resetting().await);
    for (percent, least) in [(20, 10), (20, 0), (0, 0), (100, 0)] {
        let backends = [&one, &two, &three];
        let before: usize = backends.iter().map(|backend| backend.heads().len()).sum();
        let entry = service("web", &backends.map(|backend| backend.address), |service| {
            eager(service);
            service.retry_policy.num_retries = 2;
            service.retry_policy.budget_percent = percent;
            service.retry_policy.min_retries_per_second = least;
        });
        let proxy = Proxy::of(vec![entry]).await;
        let start = Instant::now();
        let mut client = proxy.client().await;
        for _ in 0..REQUESTS {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.status(), 502);
        }
        let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
        let attempts = backends.iter().map(|backend| backend.heads().len()).sum::<usize>() - before;
        let retries = attempts - REQUESTS;
        let floor = least as usize * (seconds + 1);
        assert!(retries <= REQUESTS * percent as usize / 100 + floor, "{percent} {least}: {retries}");
        assert!(
            retries >= REQUESTS * percent as usize / 100 / 2 || percent == 100,
            "{percent} {least}: {retries}"
        );
    }
}
