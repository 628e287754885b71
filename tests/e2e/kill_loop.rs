//! Acknowledged means durable: whatever moment the control plane is killed at.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use tokio::task::JoinSet;
use weir_tests::{Api, Daemons, until};

/// Registrations under way at one time, so that the kill meets commits of every size.
const REGISTRARS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_registration_is_ever_lost() {
    let rounds = if crate::soak() { 100 } else { 10 };
    let mut daemons = Daemons::start(0).await;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let next = Arc::new(AtomicU32::new(0));
    let mut revision = 0;

    for round in 0..rounds {
        let goal = acknowledged.lock().unwrap().len() + 1 + 7 * (round % 11);
        let mut registrars = JoinSet::new();
        for _ in 0..REGISTRARS {
            registrars.spawn(register(daemons.api.clone(), next.clone(), acknowledged.clone()));
        }
        until("registrations", async || (acknowledged.lock().unwrap().len() >= goal).then_some(())).await;
        daemons.control_plane.kill().await;
        registrars.join_all().await;

        daemons.restart_control_plane().await;
        let found: BTreeSet<String> =
            daemons.api.backends("web").await.unwrap().into_iter().map(|backend| backend.address).collect();
        let lost: Vec<_> = acknowledged.lock().unwrap().difference(&found).cloned().collect();
        assert_eq!(lost, Vec::<String>::new(), "round {round}");
        let now = daemons.api.status().await.unwrap().revision;
        assert!(now > revision, "round {round}: {now} after {revision}");
        revision = now;
    }
    let count = acknowledged.lock().unwrap().len();
    println!("{rounds} kills, {count} acknowledged registrations, 0 lost");
}

/// Registers one new backend after another until the control plane is gone.
async fn register(api: Api, next: Arc<AtomicU32>, acknowledged: Arc<Mutex<BTreeSet<String>>>) {
    loop {
        let [_, a, b, c] = next.fetch_add(1, Relaxed).to_be_bytes();
        let address = SocketAddr::from(([10, a, b, c], 80));
        match api.register("web", address).await {
            Ok(_) => acknowledged.lock().unwrap().insert(address.to_string()),
            Err(_) => return,
        };
    }
}
