//! Groups: spilling over, panic, zones, slow start, and what is picked when the first choice has nobody.

use std::sync::Arc;

use weir_proto::{LbPolicy, LeastRequest, Maglev, Service, ServiceName, SlowStart, ZoneAware};

use crate::{
    balance::{
        Among, GroupMember, Groups, Pick, Picked,
        pick::share,
        testing::{fits, in_flight, index_of, member},
    },
    endpoint::{Endpoint, Marks},
    moment::Moment,
};

fn service() -> Service {
    Service::with_defaults(ServiceName::try_from("web").unwrap())
}

/// So many endpoints of each priority, all far.
fn of_priorities(sizes: &[u32]) -> Vec<GroupMember> {
    let priorities = (0u32..).zip(sizes).flat_map(|(priority, size)| (0..*size).map(move |_| priority));
    (0u32..).zip(priorities).map(|(n, priority)| GroupMember { priority, ..member(n, 1) }).collect()
}

fn mark(members: &[GroupMember], marks: Marks) {
    for member in members {
        member.endpoint.mark(Marks::default(), marks);
    }
}

fn heal(members: &[GroupMember]) {
    for member in members {
        member.endpoint.mark(Marks::HEALTH.and(Marks::EJECTION), Marks::default());
    }
}

fn picked<'a>(groups: &'a Groups, pick: &Pick<'_>) -> Option<(&'a Arc<Endpoint>, Among)> {
    match groups.pick(pick) {
        Picked::Endpoint(endpoint, among) => Some((endpoint, among)),
        Picked::Full | Picked::Nobody => None,
    }
}

/// How many of so many picks each takes.
fn counts(groups: &Groups, members: &[GroupMember], picks: u32) -> Vec<u64> {
    let mut counts = vec![0; members.len()];
    for _ in 0..picks {
        let (endpoint, _) = picked(groups, &Pick { key: fastrand::u64(..), ..Pick::default() }).unwrap();
        counts[index_of(members, endpoint)] += 1;
    }
    counts
}

fn is_full(picked: Picked<'_>) -> bool {
    matches!(picked, Picked::Full)
}

#[test]
fn nobody_is_nobody_and_a_limit_is_not() {
    let groups = Groups::new(&service(), &[], None);
    assert!(matches!(groups.pick(&Pick::default()), Picked::Nobody));
    let members = of_priorities(&[1, 1]);
    let groups = Groups::new(&service(), &members, None);
    assert!(is_full(groups.pick(&Pick { limit: 0, ..Pick::default() })));
    let all = [members[0].endpoint.id(), members[1].endpoint.id()];
    assert!(is_full(groups.pick(&Pick { tried: &all, ..Pick::default() })));
    for member in &members {
        member.endpoint.set_retired(Marks::DRAINING);
    }
    assert!(matches!(groups.pick(&Pick::default()), Picked::Nobody), "before it was counted");
    groups.recount();
    assert!(matches!(groups.pick(&Pick::default()), Picked::Nobody));
}

#[test]
fn the_next_priority_takes_what_the_first_cannot() {
    fastrand::seed(30);
    let members = of_priorities(&[4, 2]);
    let groups = Groups::new(&service(), &members, None);
    assert_eq!(counts(&groups, &members, 400), [100, 100, 100, 100, 0, 0]);
    mark(&members[..2], Marks::UNHEALTHY);
    groups.recount();
    // Half of four is 70 % of the traffic.
    let spilt = counts(&groups, &members, 20_000);
    assert!(fits(&spilt, &[0.0, 0.0, 0.35, 0.35, 0.15, 0.15]), "{spilt:?}");
    mark(&members[..4], Marks::UNHEALTHY);
    groups.recount();
    assert_eq!(counts(&groups, &members, 10), [0, 0, 0, 0, 5, 5]);
    assert!(!groups.is_panicking());
    heal(&members);
    groups.recount();
    assert_eq!(counts(&groups, &members, 400)[4..], [0, 0]);
}

#[test]
fn what_is_picked_is_right_before_anything_was_counted() {
    let members = of_priorities(&[2, 2]);
    let groups = Groups::new(&service(), &members, None);
    mark(&members[..2], Marks::EJECTED);
    assert!((0..20).all(|_| picked(&groups, &Pick::default()).unwrap().0.id() != members[0].endpoint.id()));
    assert_eq!(counts(&groups, &members, 20)[..2], [0, 0]);
    mark(&members[2..3], Marks::DEGRADED);
    assert_eq!(counts(&groups, &members, 20), [0, 0, 0, 20], "who is healthy comes first");
    mark(&members[3..], Marks::UNHEALTHY);
    let (endpoint, among) = picked(&groups, &Pick::default()).unwrap();
    assert_eq!((index_of(&members, endpoint), among), (2, Among::Degraded));
    mark(&members[2..], Marks::UNHEALTHY);
    assert_eq!(picked(&groups, &Pick::default()).unwrap().1, Among::All, "health fails open");
}

#[test]
fn health_that_fails_open_never_uses_who_is_retired_or_has_no_room() {
    let members = of_priorities(&[3]);
    let groups = Groups::new(&service(), &members, None);
    mark(&members, Marks::UNHEALTHY);
    members[0].endpoint.set_retired(Marks::GONE);
    for counted in [false, true] {
        assert_eq!(counts(&groups, &members, 20)[0], 0, "{counted}");
        let _busy = in_flight(&members[1], 1);
        let (endpoint, _) = picked(&groups, &Pick { limit: 1, ..Pick::default() }).unwrap();
        assert_eq!(index_of(&members, endpoint), 2);
        groups.recount();
    }
}

#[test]
fn a_limit_is_no_reason_to_use_who_is_unhealthy() {
    let members = of_priorities(&[3]);
    let groups = Groups::new(&service(), &members, None);
    mark(&members[..1], Marks::UNHEALTHY);
    groups.recount();
    let _busy = (in_flight(&members[1], 1), in_flight(&members[2], 1));
    assert!(is_full(groups.pick(&Pick { limit: 1, ..Pick::default() })));
}

#[test]
fn who_is_unknown_is_waited_for() {
    let members = of_priorities(&[3]);
    let groups = Groups::new(&service(), &members, None);
    mark(&members, Marks::UNKNOWN);
    assert!(is_full(groups.pick(&Pick::default())));
    groups.recount();
    assert!(is_full(groups.pick(&Pick::default())) && !groups.is_panicking());
    members[1].endpoint.mark(Marks::UNKNOWN, Marks::default());
    assert_eq!(counts(&groups, &members, 10), [0, 10, 0]);
    members[1].endpoint.mark(Marks::default(), Marks::UNHEALTHY);
    assert!(is_full(groups.pick(&Pick::default())), "the others may be well");
    groups.recount();
    assert!(groups.is_panicking());
    assert!(counts(&groups, &members, 9).into_iter().all(|count| count == 3));
}

#[test]
fn below_the_threshold_all_are_used_until_enough_are_back() {
    let members = of_priorities(&[10]);
    let groups = Groups::new(&service(), &members, None);
    mark(&members[..5], Marks::EJECTED);
    groups.recount();
    assert!(!groups.is_panicking());
    assert_eq!(counts(&groups, &members, 50)[..5], [0; 5]);
    mark(&members[5..6], Marks::UNHEALTHY);
    groups.recount();
    assert!(groups.is_panicking());
    assert_eq!(counts(&groups, &members, 50), [5; 10]);
    heal(&members[..1]);
    groups.recount();
    assert!(!groups.is_panicking());
    assert_eq!(counts(&groups, &members, 50)[1..6], [0; 5]);
}

#[test]
fn the_own_zone_comes_first_if_it_is_large_enough() {
    fastrand::seed(31);
    let mut members = of_priorities(&[6]);
    for near in [0, 3] {
        members[near].is_near = true;
    }
    let zones = |min_backends| Service { zone_aware: Some(ZoneAware { min_backends }), ..service() };
    let groups = Groups::new(&zones(2), &members, None);
    assert_eq!(counts(&groups, &members, 60), [30, 0, 0, 30, 0, 0]);
    let full = Pick { limit: 1, ..Pick::default() };
    let _busy = (in_flight(&members[0], 1), in_flight(&members[3], 1));
    assert_ne!(picked(&groups, &full).map(|(e, _)| index_of(&members, e) % 3), Some(0), "limits spill over");
    mark(&members[..1], Marks::UNHEALTHY);
    groups.recount();
    let spilt = counts(&groups, &members, 20_000);
    assert!(fits(&spilt, &[0.0, 0.075, 0.075, 0.7, 0.075, 0.075]), "{spilt:?}");
    heal(&members);
    assert_eq!(counts(&Groups::new(&zones(3), &members, None), &members, 60), [10; 6]);
    assert_eq!(counts(&Groups::new(&service(), &members, None), &members, 60), [10; 6]);
}

#[test]
fn turns_go_on_where_the_table_before_stood() {
    let members = of_priorities(&[4]);
    let mut groups = Groups::new(&service(), &members, None);
    let mut last = None;
    for _ in 0..20 {
        let index = index_of(&members, picked(&groups, &Pick::default()).unwrap().0);
        assert!(last.is_none_or(|last: usize| (last + 1) % 4 == index));
        last = Some(index);
        groups = Groups::new(&service(), &members, Some(&groups));
    }
}

#[test]
fn a_key_stays_in_its_group() {
    let members = of_priorities(&[4, 4]);
    let policy = LbPolicy::Maglev(Maglev { table_size: 1009, ..Maglev::default() });
    let groups = Groups::new(&Service { lb_policy: policy, ..service() }, &members, None);
    mark(&members[..2], Marks::UNHEALTHY);
    groups.recount();
    let mut spilt = 0;
    for key in 0u32..1_000 {
        let pick = Pick { key: xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes()), ..Pick::default() };
        let first = picked(&groups, &pick).unwrap().0;
        assert!((0..5).all(|_| picked(&groups, &pick).unwrap().0.id() == first.id()));
        assert_eq!(groups.peek(&pick).map(|endpoint| endpoint.id()), Some(first.id()));
        spilt += u32::from(index_of(&members, first) >= 4);
    }
    assert!((250..350).contains(&spilt), "{spilt}");
}

#[test]
fn a_peek_is_certain_and_takes_no_turn() {
    let members = of_priorities(&[2]);
    for policy in [LbPolicy::RoundRobin, LbPolicy::LeastRequest(LeastRequest::default())] {
        let groups = Groups::new(&Service { lb_policy: policy, ..service() }, &members, None);
        assert!(groups.peek(&Pick::default()).is_none());
        let tried = [members[0].endpoint.id()];
        let only = groups.peek(&Pick { tried: &tried, ..Pick::default() });
        assert_eq!(only.map(|endpoint| endpoint.id()), Some(members[1].endpoint.id()));
    }
}

#[test]
fn candidates_say_what_their_group_takes() {
    let members = of_priorities(&[2, 1]);
    let groups = Groups::new(&service(), &members, None);
    mark(&members[..1], Marks::DEGRADED);
    groups.recount();
    let shares: Vec<(u32, f64)> = groups.candidates().map(|c| (c.member.priority, c.share)).collect();
    assert_eq!(shares.len(), 3);
    assert!((shares[0].1 - 0.7).abs() < 0.01 && (shares[2].1 - 0.3).abs() < 0.01, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_begins_with_less_than_its_share() {
    fastrand::seed(32);
    let window = std::time::Duration::from_secs(100);
    let slow_start = SlowStart { window, aggression: 1000, min_weight_percent: 10 };
    let members = of_priorities(&[2]);
    let policy = LbPolicy::Random;
    let groups = Groups::new(&Service { lb_policy: policy, ..service() }, &members, None);
    members[1].endpoint.ramp();
    let pick = Pick { slow_start: Some(&slow_start), ..Pick::default() };
    let counts = |picks: u32| {
        let mut counts = [0; 2];
        for _ in 0..picks {
            counts[index_of(&members, picked(&groups, &pick).unwrap().0)] += 1;
        }
        counts
    };
    let begin = counts(20_000);
    assert!(fits(&begin, &[1.0, 0.1]), "{begin:?}");
    tokio::time::advance(window / 2).await;
    let half = counts(20_000);
    assert!(fits(&half, &[1.0, 0.5]), "{half:?}");
    tokio::time::advance(window).await;
    let whole = counts(20_000);
    assert!(fits(&whole, &[1.0, 1.0]), "{whole:?}");
}

/// All begin slowly when a proxy starts: that is no reason to use the backup.
#[tokio::test(start_paused = true)]
async fn where_all_are_new_none_is() {
    let slow_start =
        SlowStart { window: std::time::Duration::from_secs(100), aggression: 1000, min_weight_percent: 1 };
    let members = of_priorities(&[2, 1]);
    for member in &members {
        member.endpoint.ramp();
    }
    let groups = Groups::new(&service(), &members, None);
    let pick = Pick { slow_start: Some(&slow_start), ..Pick::default() };
    for _ in 0..200 {
        let (endpoint, among) = picked(&groups, &pick).unwrap();
        assert!(index_of(&members, endpoint) < 2 && among == Among::Healthy);
    }
}

proptest::proptest! {
    #[test]
    fn a_slow_start_only_grows(
        aggression in 100u32..=10_000,
        min_weight_percent in 1u32..=100,
        window in 100u64..3_600_000,
        times in proptest::collection::vec(0u64..4_000_000, 2..20),
    ) {
        let window = std::time::Duration::from_millis(window);
        let slow_start = SlowStart { window, aggression, min_weight_percent };
        let mut times = times;
        times.sort_unstable();
        let at = |millis| share(&slow_start, Moment::default(), Moment::from_nanos(millis * 1_000_000));
        let shares: Vec<f64> = times.iter().map(|time| at(*time)).collect();
        proptest::prop_assert!(shares.is_sorted(), "{:?}", shares);
        proptest::prop_assert!(shares.iter().all(|share| (f64::from(min_weight_percent) / 100.0..=1.0).contains(share)));
        proptest::prop_assert!(at(3_600_000) >= 1.0);
    }
}
