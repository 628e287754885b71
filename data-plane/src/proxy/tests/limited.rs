//! Backends that answer 429: they get less for a while, and are not ill.

use weir_proto::{LbPolicy, LeastRequest, Maglev, PeakEwma, ReportedLoad, RingHash};

use super::harness::{Backend, Proxy, endpoint, service};
use crate::endpoint::Marks;

const REQUESTS: usize = 200;

const LIMITED: &str = "HTTP/1.1 429 So\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";

/// Says that it has enough, to every request.
async fn limited(answer: &'static str) -> Backend {
    Backend::scripted(move |mut served| async move {
        while served.head().await.is_some() {
            served.send(answer).await;
        }
    })
    .await
}

/// As a client each, so that keys differ.
fn get(n: usize) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\nx-key: {n}\r\n\r\n")
}

fn policies() -> Vec<LbPolicy> {
    let hash_keys = vec![weir_proto::HashKey::Header("x-key".into())];
    vec![
        LbPolicy::RoundRobin,
        LbPolicy::Random,
        LbPolicy::LeastRequest(LeastRequest::default()),
        LbPolicy::PeakEwma(PeakEwma::default()),
        LbPolicy::RingHash(RingHash { hash_keys: hash_keys.clone(), ..RingHash::default() }),
        LbPolicy::Maglev(Maglev { hash_keys, ..Maglev::default() }),
        LbPolicy::ClientSideWeightedRoundRobin(ReportedLoad::default()),
    ]
}

#[tokio::test]
async fn whoever_says_that_it_has_enough_gets_less_by_every_algorithm() {
    for policy in policies() {
        let (enough, well) = (limited(LIMITED).await, Backend::named("well").await);
        let entry =
            service("web", &[enough.address, well.address], |service| service.lb_policy = policy.clone());
        let endpoint = endpoint(&entry, enough.address);
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = proxy.client().await;
        for n in 0..REQUESTS {
            client.ask(&get(n)).await;
        }
        let had = enough.heads().len();
        // Peak EWMA gives it none but to find out, which may be later.
        assert!((1..REQUESTS * 7 / 20).contains(&had), "{policy:?}: {had}");
        assert!(!endpoint.marks().has(Marks::EJECTED));
        assert_eq!(endpoint.passive().totals(), (0, 0), "neither a success nor a failure");
    }
}

#[tokio::test]
async fn where_all_have_enough_all_are_used() {
    for policy in policies() {
        let (one, two) = (limited(LIMITED).await, limited(LIMITED).await);
        let entry = service("web", &[one.address, two.address], |service| service.lb_policy = policy.clone());
        let proxy = Proxy::of(vec![entry]).await;
        let mut client = proxy.client().await;
        for n in 0..REQUESTS {
            assert_eq!(client.ask(&get(n)).await.status(), 429);
        }
        let had = one.heads().len();
        assert!((REQUESTS / 10..=REQUESTS * 9 / 10).contains(&had), "{policy:?}: {had}");
    }
}
