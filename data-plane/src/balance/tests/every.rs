//! What holds for every algorithm: whoever is admitted is found, nobody else is, and nothing is searched for ever.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::{Duration, advance};
use weir_proto::{LbPolicy, LeastRequest, Maglev, PeakEwma, ReportedLoad, RingHash};

use crate::{
    balance::{
        Balance, GroupMember, Pick, build,
        testing::{counts, fits, index_of, member, members},
    },
    endpoint::Marks,
    moment::Moment,
};

fn policies() -> Vec<LbPolicy> {
    vec![
        LbPolicy::RoundRobin,
        LbPolicy::Random,
        LbPolicy::LeastRequest(LeastRequest::default()),
        LbPolicy::LeastRequest(LeastRequest { choice_count: 16 }),
        LbPolicy::PeakEwma(PeakEwma::default()),
        LbPolicy::RingHash(RingHash::default()),
        LbPolicy::RingHash(RingHash { minimum_ring_size: 1, maximum_ring_size: 3, ..RingHash::default() }),
        LbPolicy::RingHash(RingHash { hash_balance_factor: Some(125), ..RingHash::default() }),
        LbPolicy::Maglev(Maglev { table_size: 1009, ..Maglev::default() }),
        LbPolicy::Maglev(Maglev { table_size: 2, ..Maglev::default() }),
        LbPolicy::Maglev(Maglev { table_size: 1009, hash_balance_factor: Some(125), ..Maglev::default() }),
        LbPolicy::ClientSideWeightedRoundRobin(ReportedLoad::default()),
    ]
}

fn random_key() -> Pick<'static> {
    Pick { key: fastrand::u64(..), ..Pick::default() }
}

#[test]
fn none_of_none_one_of_one_and_another_of_two() {
    for policy in policies() {
        assert!(build(&policy, &members(&[]), None).pick(&random_key()).is_none(), "{policy:?}");
        let one = members(&[256]);
        let of_one = build(&policy, &one, None);
        let tried = [one[0].endpoint.id()];
        for _ in 0..60 {
            assert_eq!(index_of(&one, of_one.pick(&random_key()).unwrap()), 0, "{policy:?}");
            assert!(of_one.pick(&Pick { tried: &tried, ..random_key() }).is_none(), "{policy:?}");
        }
        let two = members(&[1, 256]);
        let of_two = build(&policy, &two, None);
        for _ in 0..60 {
            let first = of_two.pick(&random_key()).unwrap();
            let tried = [first.id()];
            let second = of_two.pick(&Pick { tried: &tried, ..random_key() }).unwrap();
            assert_ne!(first.id(), second.id(), "{policy:?}");
        }
    }
}

#[test]
fn of_ten_thousand_the_only_one_is_found() {
    let members = members(&vec![1; 10_000]);
    for (index, member) in members.iter().enumerate() {
        if index != 4_321 {
            member.endpoint.set_retired(Marks::DRAINING);
        }
    }
    for policy in policies() {
        let balance = build(&policy, &members, None);
        balance.recount();
        for _ in 0..3 {
            assert_eq!(index_of(&members, balance.pick(&random_key()).unwrap()), 4_321, "{policy:?}");
        }
        members[4_321].endpoint.set_retired(Marks::GONE);
        assert!(balance.pick(&random_key()).is_none(), "{policy:?}");
        members[4_321].endpoint.set_retired(Marks::default());
        members[4_321].endpoint.mark(Marks::RAMPING, Marks::default());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_enough_gets_a_part_of_its_share_for_its_time() {
    fastrand::seed(22);
    for policy in policies() {
        // Those of two or three turns have whole tables for each only by chance.
        if matches!(&policy, LbPolicy::RingHash(ring) if ring.maximum_ring_size == 3)
            || matches!(&policy, LbPolicy::Maglev(maglev) if maglev.table_size == 2)
        {
            continue;
        }
        let members = members(&[1, 1, 1, 1]);
        let balance = build(&policy, &members, None);
        let before = counts(&*balance, &members, 8_000)[0];
        members[0].endpoint.limit(Moment::now().plus(Duration::from_secs(5)));
        let spared = counts(&*balance, &members, 8_000)[0];
        assert!((before / 16..before / 2).contains(&spared), "{policy:?}: {spared} after {before}");
        advance(Duration::from_secs(5)).await;
        let after = counts(&*balance, &members, 8_000)[0];
        assert!((before * 3 / 4..before * 5 / 4).contains(&after), "{policy:?}: {after} after {before}");
    }
}

/// A hundred tables in a row, each with the same endpoints but for one that has come or gone; the requests of each are
/// counted for those that are in all of them.
#[test]
fn shares_stay_the_weights_while_endpoints_come_and_go() {
    fastrand::seed(20);
    let policies =
        policies().into_iter().filter(|p| p.hash_keys().is_empty() && !matches!(p, LbPolicy::PeakEwma(_)));
    for policy in policies {
        let stay: Vec<GroupMember> =
            [1, 2, 5].iter().zip(0..).map(|(weight, n)| member(n, *weight)).collect();
        let mut sums = vec![0u64; 3];
        let mut before: Option<Arc<dyn Balance>> = None;
        for change in 0..100u32 {
            let mut now = stay.clone();
            if change % 2 == 0 {
                now.push(member(100 + change, 2));
            }
            let now: Arc<[GroupMember]> = now.into();
            let balance = build(&policy, &now, before.as_deref());
            for (sum, count) in sums.iter_mut().zip(counts(&*balance, &now, 400)) {
                *sum += count;
            }
            before = Some(balance);
        }
        assert!(fits(&sums, &[1.0, 2.0, 5.0]), "{policy:?}: {sums:?}");
    }
}

#[test]
fn two_threads_pick_what_one_would() {
    fastrand::seed(21);
    for policy in
        policies().into_iter().filter(|p| p.hash_keys().is_empty() && !matches!(p, LbPolicy::PeakEwma(_)))
    {
        let members = members(&[1, 2, 5]);
        let balance = build(&policy, &members, None);
        let seeds = [fastrand::u64(..), fastrand::u64(..)];
        let of_thread = |seed| {
            fastrand::seed(seed);
            counts(&*balance, &members, 16_000)
        };
        let sums: Vec<u64> = std::thread::scope(|scope| {
            let threads = seeds.map(|seed| scope.spawn(move || of_thread(seed)));
            let counts = threads.map(|thread| thread.join().unwrap());
            counts[0].iter().zip(&counts[1]).map(|(a, b)| a + b).collect()
        });
        assert!(fits(&sums, &[1.0, 2.0, 5.0]), "{policy:?}: {sums:?}");
    }
}

proptest! {
    #[test]
    fn whoever_is_admitted_is_found_and_nobody_else(
        endpoints in prop::collection::vec((1u32..=256, 0u8..4), 0..40),
        keys in prop::collection::vec(any::<u64>(), 1..20),
        load in 0u32..100,
    ) {
        let weights: Vec<u32> = endpoints.iter().map(|(weight, _)| *weight).collect();
        let members = members(&weights);
        let mut tried = Vec::new();
        for (member, (_, state)) in members.iter().zip(&endpoints) {
            match state {
                0 => member.endpoint.set_retired(Marks::GONE),
                1 => { member.endpoint.mark(Marks::default(), Marks::UNHEALTHY); }
                2 => tried.push(member.endpoint.id()),
                _ => {}
            }
        }
        for policy in policies() {
            let balance = build(&policy, &members, None);
            for key in &keys {
                let pick = Pick { key: *key, tried: &tried, load, ..Pick::default() };
                match balance.pick(&pick) {
                    Some(endpoint) => prop_assert_eq!(endpoints[index_of(&members, endpoint)].1, 3),
                    None => prop_assert!(endpoints.iter().all(|(_, state)| *state != 3), "{:?}", policy),
                }
            }
        }
    }
}
