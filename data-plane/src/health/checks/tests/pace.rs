//! When backends are asked, on a stopped clock.

use std::sync::Mutex;

use tokio::{net::TcpListener, time::Instant};

use super::*;
use crate::health::checks::checker::Checker;

const SECOND: Duration = Duration::from_secs(1);

/// A backend that never answers, and when it was asked.
async fn silent() -> (SocketAddr, Arc<Mutex<Vec<Duration>>>) {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, start) = (listener.local_addr().unwrap(), Instant::now());
    let asked = Arc::<Mutex<Vec<Duration>>>::default();
    let for_task = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            for_task.lock().unwrap().push(start.elapsed());
            held.push(stream);
        }
    });
    (address, asked)
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_goes_out_at_once_and_each_next_one_an_interval_after_the_end_of_the_last() {
    let check =
        HealthCheck { timeout: 2 * SECOND, interval: 5 * SECOND, unhealthy_interval: 10 * SECOND, ..check() };
    let (address, asked) = silent().await;
    let entry = entry(Some(check), &[backend("a", address)], None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&entry))).await;
    time::sleep(60 * SECOND).await;
    let asked = asked.lock().unwrap();
    assert!(asked[0] < SECOND / 10 && asked.len() >= 5, "{asked:?}");
    for pair in asked.windows(2) {
        let apart = pair[1].saturating_sub(pair[0]);
        // The time that the first one took, the interval of one that is unhealthy, and what it may be longer.
        assert!((12 * SECOND..13 * SECOND + SECOND / 10).contains(&apart), "{asked:?}");
    }
    let reason = "no answer within 2s".to_owned();
    assert_eq!(told(&endpoint(&entry, "a")), (Health::Unhealthy, reason));
}

#[tokio::test(start_paused = true)]
async fn thousands_begin_a_few_at_a_time_and_what_waits_for_long_is_let_in() {
    let room = Room::of(2);
    let (address, asked) = silent().await;
    let ids: Vec<_> = (0..6).map(|n| format!("b{n}")).collect();
    let forms: Vec<_> = ids.iter().map(|id| backend(id, address)).collect();
    let check = HealthCheck { timeout: 2 * SECOND, ..once() };
    let entry = entry(Some(check), &forms, None);
    let question = Arc::new(Question::of(&entry).unwrap());
    let places = room.for_a_service();
    let endpoints: Vec<_> = ids.iter().map(|id| endpoint(&entry, id)).collect();
    let _checkers: Vec<_> =
        endpoints.iter().map(|endpoint| Checker::new(endpoint, &question, &places).start()).collect();
    let states = || {
        let of = |endpoint: &Arc<Endpoint>| (told(endpoint).0, endpoint.marks().has(Marks::UNKNOWN));
        endpoints.iter().map(of).collect::<Vec<_>>()
    };
    time::sleep(SECOND).await;
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert_eq!(states(), [(Health::Unknown, true); 6]);
    time::sleep(3 * SECOND / 2).await;
    assert_eq!(asked.lock().unwrap().len(), 4);
    let (unhealthy, waiting) = ((Health::Unhealthy, false), (Health::Unknown, false));
    assert_eq!(states(), [unhealthy, unhealthy, waiting, waiting, waiting, waiting], "used, but not known");
    time::sleep(4 * SECOND).await;
    assert_eq!(states(), [unhealthy; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_probes_hang_keeps_no_other_from_being_asked() {
    let room = Room::of(1000);
    let (hanging, other) = (room.for_a_service(), room.for_a_service());
    let mut held = Vec::new();
    while let Ok(place) = time::timeout(SECOND, hanging.take()).await {
        held.push(place);
    }
    assert!(held.len() < 1000);
    time::timeout(SECOND, other.take()).await.unwrap();
    drop(held);
    time::timeout(SECOND, hanging.take()).await.unwrap();
}
