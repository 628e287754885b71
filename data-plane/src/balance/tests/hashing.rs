//! Consistent hashing: which keys move when an endpoint leaves, and that nobody has more than its bound.

use std::sync::Arc;

use proptest::prelude::*;
use weir_proto::{LbPolicy, Maglev, RingHash};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    balance::{
        Balance, GroupMember, Pick, build,
        testing::{Simulation, index_of, member},
    },
    endpoint::Marks,
};

fn policies(hash_balance_factor: Option<u32>) -> [LbPolicy; 2] {
    [
        LbPolicy::RingHash(RingHash { minimum_ring_size: 8192, hash_balance_factor, ..RingHash::default() }),
        LbPolicy::Maglev(Maglev { table_size: 4099, hash_balance_factor, ..Maglev::default() }),
    ]
}

fn keys(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(|n| xxh3_64(&n.to_le_bytes()))
}

fn group(members: impl Iterator<Item = GroupMember>) -> Arc<[GroupMember]> {
    members.collect()
}

/// Whose each key is.
fn owners(balance: &dyn Balance, members: &[GroupMember], n: u64) -> Vec<usize> {
    keys(n).map(|key| index_of(members, balance.pick(&Pick { key, ..Pick::default() }).unwrap())).collect()
}

#[test]
fn keys_are_spread_by_weight() {
    let members = group([1, 2, 5].iter().zip(0..).map(|(weight, n)| member(n, *weight)));
    for policy in policies(None) {
        let owners = owners(&*build(&policy, &members, None), &members, 40_000);
        for (index, expected) in [5_000, 10_000, 25_000].into_iter().enumerate() {
            let count = owners.iter().filter(|owner| **owner == index).count();
            assert!(count.abs_diff(expected) < expected / 10, "{policy:?}: {count} of {expected}");
        }
    }
}

#[test]
fn another_proxy_finds_the_same() {
    let of = || group((0..20).map(|n| member(n, n % 3 + 1)));
    for policy in policies(None) {
        let (a, b) = (of(), of());
        assert_eq!(
            owners(&*build(&policy, &a, None), &a, 1_000),
            owners(&*build(&policy, &b, None), &b, 1_000)
        );
    }
}

/// A new connection, another table, and still the same keys, however often the endpoint comes and goes.
#[test]
fn keys_come_back_with_their_endpoint() {
    let all = group((0..10).map(|n| member(n, 1)));
    let without = group(all.iter().take(9).cloned());
    for policy in policies(None) {
        let before = owners(&*build(&policy, &all, None), &all, 2_000);
        for _ in 0..3 {
            build(&policy, &without, None);
            assert_eq!(owners(&*build(&policy, &all, None), &all, 2_000), before);
        }
    }
}

/// Of which a table takes so long that requests and other services do not wait for it.
fn large() -> [LbPolicy; 2] {
    [
        LbPolicy::RingHash(RingHash { minimum_ring_size: 1 << 18, ..RingHash::default() }),
        LbPolicy::Maglev(Maglev { table_size: 262_147, ..Maglev::default() }),
    ]
}

#[test]
fn a_large_table_is_built_when_somebody_asks_and_something_stands_in() {
    for policy in large() {
        let members = group((0..5).map(|n| member(n, 1)));
        let balance = build(&policy, &members, None);
        assert!(!balance.is_finished());
        let counts =
            |owners: Vec<usize>| (0..5).map(|n| owners.iter().filter(|o| **o == n).count()).collect();
        let before: Vec<usize> = counts(owners(&*balance, &members, 5_000));
        assert!(before.iter().all(|n| (500..2_000).contains(n)), "{policy:?}: {before:?}");
        balance.finish();
        assert!(balance.is_finished());
        let other = build(&policy, &members, None);
        other.finish();
        assert_eq!(owners(&*balance, &members, 5_000), owners(&*other, &members, 5_000));
    }
}

#[test]
fn until_a_large_table_is_built_the_one_before_stands_in_for_those_who_are_left() {
    for policy in large() {
        let all = group((0..5).map(|n| member(n, 1)));
        let first = build(&policy, &all, None);
        first.finish();
        let before = owners(&*first, &all, 5_000);
        // One has gone, and all others have other numbers.
        let fewer = group(all.iter().skip(1).cloned());
        let second = build(&policy, &fewer, Some(&*first));
        assert!(!second.is_finished());
        for (before, now) in before.iter().zip(owners(&*second, &fewer, 5_000)) {
            assert!(*before == 0 || *before == now + 1, "{policy:?}: a key of {before} moved to {}", now + 1);
        }
        // And again, before it is built.
        let fewest = group(all.iter().skip(2).cloned());
        let third = build(&policy, &fewest, Some(&*second));
        for (before, now) in before.iter().zip(owners(&*third, &fewest, 5_000)) {
            assert!(*before < 2 || *before == now + 2, "{policy:?}: a key of {before} moved to {}", now + 2);
        }
        assert!(build(&policy, &all, Some(&*first)).is_finished(), "nothing has changed");
    }
}

#[test]
fn who_may_not_be_picked_loses_its_keys_to_all_others_alike() {
    for policy in policies(None) {
        let members = group((0..10).map(|n| member(n, 1)));
        let balance = build(&policy, &members, None);
        let before = owners(&*balance, &members, 40_000);
        members[3].endpoint.mark(Marks::default(), Marks::UNHEALTHY);
        let after = owners(&*balance, &members, 40_000);
        let mut gained = [0u32; 10];
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == 3, "{policy:?}: a key of {before} moved");
            gained[*after] += u32::from(before != after);
        }
        // 4,000 keys over 9 endpoints.
        assert!(
            gained.iter().enumerate().all(|(i, n)| i == 3 || (250..700).contains(n)),
            "{policy:?}: {gained:?}"
        );
    }
}

#[test]
fn of_few_that_may_be_picked_none_gets_all_the_keys() {
    for policy in policies(None) {
        let members = group((0..200).map(|n| member(n, 1)));
        let balance = build(&policy, &members, None);
        for member in &members[4..] {
            member.endpoint.mark(Marks::default(), Marks::UNHEALTHY);
        }
        let owners = owners(&*balance, &members, 8_000);
        for index in 0..4 {
            let count = owners.iter().filter(|owner| **owner == index).count();
            assert!((1_000..3_200).contains(&count), "{policy:?}: {count}");
        }
    }
}

#[test]
fn another_attempt_of_a_key_goes_where_that_key_always_goes_next() {
    for policy in policies(None) {
        let members = group((0..10).map(|n| member(n, 1)));
        let balance = build(&policy, &members, None);
        for key in keys(100) {
            let mut pick = Pick { key, ..Pick::default() };
            let first = [balance.pick(&pick).unwrap().id()];
            pick.tried = &first;
            let second = balance.pick(&pick).unwrap().id();
            assert!(second != first[0] && second == balance.pick(&pick).unwrap().id());
        }
    }
}

#[test]
fn a_key_that_everybody_asks_for_is_shared_out() {
    for policy in policies(Some(125)) {
        let members = group((0..10).map(|n| member(n, 1)));
        let balance = build(&policy, &members, None);
        let mut simulation = Simulation::new(&members);
        for load in 1..=1_000 {
            simulation.begin(&*balance, &Pick { key: 7, load, ..Pick::default() }).unwrap();
        }
        let most = members.iter().map(|m| m.endpoint.in_flight()).max();
        assert_eq!(most, Some(125), "{policy:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn when_one_of_n_leaves_its_keys_move_and_few_others(n in 2u32..24, leaver in 0u32..24) {
        let leaver = leaver % n;
        let all = group((0..n).map(|n| member(n, 1)));
        let without = group(all.iter().enumerate().filter(|(i, _)| *i != leaver as usize).map(|(_, m)| m.clone()));
        for mut policy in policies(None) {
            if let LbPolicy::RingHash(ring) = &mut policy {
                ring.minimum_ring_size = 1024;
            }
            let before = owners(&*build(&policy, &all, None), &all, 4_000);
            let after = owners(&*build(&policy, &without, None), &without, 4_000);
            let moved = before.iter().zip(&after).filter(|(before, after)| {
                all[**before].endpoint.id() != without[**after].endpoint.id()
            });
            let moved = f64::from(u32::try_from(moved.count()).unwrap()) / 4_000.0;
            prop_assert!(moved <= 1.0 / f64::from(n) + 0.06, "{:?}: {} of {}", policy, moved, n);
        }
    }

    /// Requests come and go at random, many of one key.
    #[test]
    fn nobody_has_more_than_its_bound(
        weights in prop::collection::vec(1u32..=16, 1..12),
        factor in 101u32..=300,
        steps in prop::collection::vec((any::<u8>(), 0u64..6), 1..200),
    ) {
        let members = group(weights.iter().zip(0..).map(|(weight, n)| member(n, *weight)));
        let total: u32 = weights.iter().sum();
        for policy in policies(Some(factor)) {
            let balance = build(&policy, &members, None);
            let mut simulation = Simulation::new(&members);
            for (ends, key) in &steps {
                let load = simulation.load() + 1;
                let pick = Pick { key: xxh3_64(&key.to_le_bytes()), load, ..Pick::default() };
                let index = simulation.begin(&*balance, &pick);
                prop_assert!(index.is_some(), "{:?}", policy);
                let (member, weight) = (&members[index.unwrap()], weights[index.unwrap()]);
                let most = (u64::from(factor) * u64::from(load) * u64::from(weight)).div_ceil(100 * u64::from(total));
                prop_assert!(u64::from(member.endpoint.in_flight()) <= most);
                if ends % 3 == 0 {
                    simulation.end_oldest_of(&[usize::from(*ends) % members.len(), 0]);
                }
            }
        }
    }

    #[test]
    fn who_is_out_does_not_count_for_the_bound(out in prop::collection::vec(any::<bool>(), 2..10), load in 1u32..100) {
        prop_assume!(out.contains(&false));
        let members = group((0..u32::try_from(out.len()).unwrap()).map(|n| member(n, 1)));
        for (member, out) in members.iter().zip(&out) {
            if *out {
                member.endpoint.mark(Marks::default(), Marks::EJECTED);
            }
        }
        let usable = out.iter().filter(|out| !**out).count();
        for policy in policies(Some(125)) {
            let balance = build(&policy, &members, None);
            let mut simulation = Simulation::new(&members);
            for load in 1..=load {
                simulation.begin(&*balance, &Pick { key: 7, load, ..Pick::default() }).unwrap();
            }
            let most = members.iter().map(|m| m.endpoint.in_flight() as usize).max().unwrap();
            prop_assert!(most <= (125 * load as usize).div_ceil(100 * usable));
        }
    }
}
