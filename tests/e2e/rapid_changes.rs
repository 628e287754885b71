//! A thousand changes in a burst: everybody ends with the same, and a proxy that sleeps holds nobody up.

use std::net::SocketAddr;

use tokio::{task::JoinSet, time::Instant};
use weir_proto::v1;
use weir_tests::{Api, Daemons, Signal, at_once, until};

const CHANGES: u16 = 1_000;
const AT_ONCE: u16 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn all_proxies_end_with_the_digest_of_the_control_plane() {
    let daemons = Daemons::start(2).await;
    daemons.proxies[1].signal(Signal::STOP);
    let resident = daemons.control_plane.resident();

    let mut callers = JoinSet::new();
    for caller in 0..AT_ONCE {
        callers.spawn(change(daemons.api.clone(), caller));
    }
    callers.join_all().await;
    let changed = Instant::now();
    let status = daemons.api.status().await.unwrap();
    assert!(status.revision >= u64::from(CHANGES));

    // The proxy that is awake does not wait for the one that is not.
    daemons.api.acknowledged(status.revision, 1).await;
    let took = changed.elapsed();
    at_once("the acknowledgement beside a stopped proxy", changed);
    let grown = daemons.control_plane.resident().saturating_sub(resident);
    println!("{CHANGES} changes: acknowledged {took:?} after the last, control plane grown by {grown} KiB");
    assert!(grown < 64 * 1024, "{grown} KiB");

    daemons.proxies[1].signal(Signal::CONT);
    let fleet = until("both proxies to have the same", async || {
        let fleet = daemons.api.proxies().await.ok()?;
        let same = |p: &v1::ProxyInfo| p.connected && p.revision == fleet.revision;
        (fleet.proxies.len() == 2 && fleet.proxies.iter().all(same)).then_some(fleet)
    })
    .await;
    for proxy in &fleet.proxies {
        assert_eq!(proxy.digest, fleet.digest, "{}", proxy.id);
        assert_eq!(proxy.refused, []);
    }
}

/// This caller's share of the changes: registrations, new weights by another content, and removals.
async fn change(api: Api, caller: u16) {
    for number in 0..CHANGES / AT_ONCE / 4 {
        let address =
            SocketAddr::from(([10, 0, u8::try_from(caller).unwrap(), u8::try_from(number).unwrap()], 80));
        let service = format!("service-{}", number % 5);
        api.register(&service, address).await.unwrap();
        let id = format!("{service}/{address}");
        api.operator_state(&id, v1::OperatorState::Draining).await.unwrap();
        api.operator_state(&id, v1::OperatorState::Enabled).await.unwrap();
        if number % 2 == 0 {
            api.deregister(&id).await.unwrap();
        } else {
            api.operator_state(&id, v1::OperatorState::Disabled).await.unwrap();
        }
    }
}
