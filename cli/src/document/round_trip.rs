//! Whatever a service or a route can say is shown in a form that says the same when it is read.

mod export;

use std::ops::RangeInclusive;

use proptest::{
    option::of,
    prelude::*,
    sample::{select, subsequence},
};
use weir_proto::{Route, Service, v1};

use super::{Source, read};
use crate::yaml;

const MILLION: u32 = 1_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_service_reads_back_as_it_is_shown(service in service()) {
        prop_assert_eq!(Service::try_from(service.clone()).err(), None);
        let shown = shown(v1::resource::Resource::Service(service.clone()));
        for text in ["yaml", "json"].map(|form| written("services", &shown, form)) {
            let documents = read(vec![Source { name: "f".to_owned(), text: text.clone() }]);
            let documents = documents.map_err(|problems| TestCaseError::fail(format!("{problems:?}\n{text}")))?;
            prop_assert_eq!(&documents.wire[0].services, std::slice::from_ref(&service), "{}", text);
        }
    }

    #[test]
    fn a_route_reads_back_as_it_is_shown(rate_limits in rate_limits(), weight in of(1u32..=9)) {
        let services = vec![v1::WeightedService { name: "web".to_owned(), weight }];
        let route = v1::Route { services, rate_limits, name: "all".to_owned(), ..Default::default() };
        let meant = Route::try_from(route.clone());
        prop_assert!(meant.is_ok());
        let text = written("routes", &shown(v1::resource::Resource::Route(route)), "yaml");
        let documents = read(vec![Source { name: "f".to_owned(), text: text.clone() }]);
        let documents = documents.map_err(|problems| TestCaseError::fail(format!("{problems:?}\n{text}")))?;
        // A weight of 1 is shown although it is the default.
        prop_assert_eq!(Route::try_from(documents.wire[0].routes[0].clone()), meant, "{}", text);
    }
}

fn shown(resource: v1::resource::Resource) -> serde_json::Value {
    let resource = v1::Resource { resource: Some(resource) };
    crate::output::resource(&resource).expect("a known kind").1
}

fn written(section: &str, object: &serde_json::Value, form: &str) -> String {
    let document = serde_json::json!({ section: [object] });
    if form == "json" { document.to_string() } else { yaml::to_string(&document).expect("serializes") }
}

prop_compose! {
    fn service()(
        (protocol, tls) in (0i32..=2, of(Just(v1::ServiceTls { server_name: "a.example".into(), ..Default::default() }))),
        lb_policy in perhaps(lb_policy().prop_map(|policy| v1::LbPolicy { policy: Some(policy) })),
        (timeouts, retry_policy) in (perhaps(timeouts()), perhaps(retry_policy())),
        (health_check, outlier_detection) in (perhaps(health_check()), perhaps(outlier_detection())),
        (circuit_breakers, adaptive_concurrency) in (perhaps(circuit_breakers()), perhaps(adaptive_concurrency())),
        rate_limits in rate_limits().boxed(),
        hedge_policy in of(some_time(1..=HOUR).prop_map(|delay| v1::HedgePolicy { delay })),
        fault_injection in perhaps(fault_injection()),
        mirror in of(of(0u32..=100).prop_map(|percent| v1::Mirror { service: "shadow".into(), percent })),
        (session_affinity, slow_start) in (perhaps(session_affinity()), perhaps(slow_start())),
        zone_aware in of(of(1u32..=10_000).prop_map(|min_backends| v1::ZoneAware { min_backends })),
        (healthy_panic_threshold, overprovisioning_factor, response_limits) in
            (of(0u32..=100), of(100u32..=1000), perhaps(response_limits())),
    ) -> v1::Service {
        v1::Service {
            name: "web".to_owned(), lb_policy, timeouts, retry_policy, protocol, tls, health_check,
            outlier_detection, circuit_breakers, adaptive_concurrency, rate_limits, hedge_policy,
            fault_injection, mirror, session_affinity, slow_start, zone_aware, healthy_panic_threshold,
            overprovisioning_factor, response_limits,
        }
    }
}

prop_compose! {
    fn response_limits()(
        max_header_bytes in of(1024u32..=1 << 20), max_headers in of(1u32..=1_000),
    ) -> v1::ResponseLimits {
        v1::ResponseLimits { max_header_bytes, max_headers }
    }
}

fn lb_policy() -> impl Strategy<Value = v1::lb_policy::Policy> {
    use v1::lb_policy::Policy;
    prop_oneof![
        Just(Policy::RoundRobin(v1::RoundRobin {})),
        of(2u32..=16).prop_map(|choice_count| Policy::LeastRequest(v1::LeastRequest { choice_count })),
        time(100..=600 * SECOND).prop_map(|decay| Policy::PeakEwma(v1::PeakEwma { decay })),
        Just(Policy::Random(v1::Random {})),
        (hash_keys(), of(1u32..=1024), of(1024u32..=8 << 20), balance_factor()).prop_map(
            |(hash_keys, minimum_ring_size, maximum_ring_size, hash_balance_factor)| {
                Policy::RingHash(v1::RingHash {
                    hash_keys,
                    minimum_ring_size,
                    maximum_ring_size,
                    hash_balance_factor,
                })
            }
        ),
        (hash_keys(), of(select(vec![2u32, 251, 65_537, 5_000_011])), balance_factor()).prop_map(
            |(hash_keys, table_size, hash_balance_factor)| {
                Policy::Maglev(v1::Maglev { hash_keys, table_size, hash_balance_factor })
            }
        ),
        reported_load().prop_map(Policy::ClientSideWeightedRoundRobin),
    ]
}

prop_compose! {
    fn reported_load()(
        blackout_period in time(0..=600 * SECOND),
        weight_expiration_period in time(SECOND..=HOUR),
        weight_update_period in time(100..=60 * SECOND),
        error_utilization_penalty in of(0u32..=10_000),
    ) -> v1::ClientSideWeightedRoundRobin {
        v1::ClientSideWeightedRoundRobin {
            blackout_period, weight_expiration_period, weight_update_period, error_utilization_penalty,
        }
    }
}

fn hash_keys() -> impl Strategy<Value = Vec<v1::HashKey>> {
    use v1::hash_key::Key;
    let key = prop_oneof![
        field_name().prop_map(Key::Header),
        ("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", time(0..=366 * DAY))
            .prop_map(|(name, ttl)| Key::Cookie(v1::HashCookie { name, ttl })),
        Just(Key::ClientAddress(true)),
        "[a-z0-9%_.~\\[\\]-]{1,12}".prop_map(Key::QueryParameter),
        Just(Key::Path(true)),
    ];
    prop::collection::vec(key.prop_map(|key| v1::HashKey { key: Some(key) }), 0..=8)
}

fn balance_factor() -> impl Strategy<Value = Option<u32>> {
    of(prop_oneof![Just(0u32), 101u32..=1000])
}

prop_compose! {
    fn timeouts()(
        connect in time(1..=DAY),
        request in time(1..=DAY),
        body_idle in time(1..=DAY),
        connection_idle in time(1..=DAY),
        per_try in time(1..=DAY),
        deadline_header in prop_oneof![Just(String::new()), field_name()],
    ) -> v1::Timeouts {
        v1::Timeouts { connect, request, body_idle, connection_idle, per_try, deadline_header }
    }
}

prop_compose! {
    fn retry_policy()(
        num_retries in of(0u32..=10),
        retry_on in subsequence((1..=13).collect::<Vec<i32>>(), 0..=13).prop_shuffle(),
        retriable_status_codes in prop::collection::vec(400u32..=599, 0..=4),
        base_interval in time(1..=60 * SECOND),
        max_interval in time(60 * SECOND..=600 * SECOND),
        budget_percent in of(0u32..=100),
        min_retries_per_second in of(0..=MILLION),
        retry_non_idempotent: bool,
    ) -> v1::RetryPolicy {
        v1::RetryPolicy {
            num_retries, retry_on, retriable_status_codes, base_interval, max_interval, budget_percent,
            min_retries_per_second, retry_non_idempotent,
        }
    }
}

prop_compose! {
    fn health_check()(
        probe in probe(),
        interval in time(100..=HOUR),
        timeout in time(10..=600 * SECOND),
        unhealthy_threshold in of(1u32..=100),
        healthy_threshold in of(1u32..=100),
        interval_jitter_percent in of(0u32..=100),
        unhealthy_interval in time(100..=HOUR),
        port in of(1u32..=65_535),
    ) -> v1::HealthCheck {
        v1::HealthCheck {
            probe: Some(probe), interval, timeout, unhealthy_threshold, healthy_threshold,
            interval_jitter_percent, unhealthy_interval, port,
        }
    }
}

fn probe() -> impl Strategy<Value = v1::health_check::Probe> {
    use v1::health_check::Probe;
    prop_oneof![
        http_probe().prop_map(Probe::Http),
        Just(Probe::Tcp(v1::TcpProbe {})),
        text().prop_map(|service| Probe::Grpc(v1::GrpcProbe { service })),
    ]
}

prop_compose! {
    fn http_probe()(
        path in prop_oneof![Just(String::new()), "/[!-\"$-~]{0,12}"],
        host in select(vec!["", "shop.example", "10.0.0.1:80", "[fd00::7]:80"]),
        headers in prop::collection::btree_map(field_name(), text(), 0..=4),
        expected_statuses in prop::collection::vec((100u32..=350, 350u32..=599, any::<bool>()), 0..=4),
        expected_body in text(),
    ) -> v1::HttpProbe {
        let range = |(start, end, one)| v1::StatusRange { start, end: if one { start } else { end } };
        v1::HttpProbe {
            path,
            host: host.to_owned(),
            headers: headers.into_iter().map(|(name, value)| v1::HeaderValue { name, value }).collect(),
            expected_statuses: expected_statuses.into_iter().map(range).collect(),
            expected_body,
        }
    }
}

prop_compose! {
    fn outlier_detection()(
        disabled: bool,
        (consecutive_5xx, consecutive_gateway_failure) in (of(0u32..=1000), of(0u32..=1000)),
        interval in time(SECOND..=HOUR),
        base_ejection_time in time(100..=HOUR),
        max_ejection_time in time(HOUR..=DAY),
        max_ejection_percent in of(0u32..=100),
        (success_rate_minimum_hosts, failure_percentage_minimum_hosts) in (of(2u32..=10_000), of(1u32..=10_000)),
        success_rate_request_volume in of(1..=MILLION),
        success_rate_stdev_factor in of(0u32..=10_000),
        failure_percentage_threshold in of(0u32..=100),
        failure_percentage_request_volume in of(1..=MILLION),
    ) -> v1::OutlierDetection {
        v1::OutlierDetection {
            disabled, consecutive_5xx, consecutive_gateway_failure, interval, base_ejection_time,
            max_ejection_time, max_ejection_percent, success_rate_minimum_hosts, success_rate_request_volume,
            success_rate_stdev_factor, failure_percentage_threshold, failure_percentage_minimum_hosts,
            failure_percentage_request_volume,
        }
    }
}

prop_compose! {
    fn circuit_breakers()(
        max_requests in of(1..=MILLION),
        max_pending_requests in of(0..=MILLION),
        queue_timeout in time(1..=60 * SECOND),
        max_requests_per_backend in of(1..=MILLION),
        max_connections_per_backend in of(1..=MILLION),
        consecutive_failures in of(0..=MILLION),
        open_time in time(100..=HOUR),
        stall_grace in time(100..=HOUR),
        max_requests_per_client in of(0..=MILLION),
    ) -> v1::CircuitBreakers {
        v1::CircuitBreakers {
            max_requests, max_pending_requests, queue_timeout, max_requests_per_backend,
            max_connections_per_backend, consecutive_failures, open_time, stall_grace,
            max_requests_per_client,
        }
    }
}

prop_compose! {
    fn adaptive_concurrency()(
        min_limit in of(1u32..=10_000),
        max_limit in of(10_000..=MILLION),
        sample_percentile in of(1u32..=100),
        update_interval in time(100..=10 * SECOND),
        min_rtt_interval in time(SECOND..=HOUR),
        min_rtt_samples in of(1u32..=10_000),
        buffer_percent in of(0u32..=1000),
    ) -> v1::AdaptiveConcurrency {
        v1::AdaptiveConcurrency {
            min_limit, max_limit, sample_percentile, update_interval, min_rtt_interval, min_rtt_samples,
            buffer_percent,
        }
    }
}

fn rate_limits() -> impl Strategy<Value = Vec<v1::RateLimit>> {
    use v1::rate_limit_key::Key;
    let key = prop_oneof![Just(Key::ClientAddress(true)), field_name().prop_map(Key::Header)];
    let key = key.prop_map(|key| v1::RateLimitKey { key: Some(key) });
    let many = 1..=1000 * MILLION;
    let limit = (many.clone(), time(1..=DAY), of(many), of(key), of(1u32 << 10..=1 << 20)).prop_map(
        |(requests, per, burst, key, max_keys)| v1::RateLimit { requests, per, burst, key, max_keys },
    );
    prop::collection::vec(limit, 0..=3)
}

prop_compose! {
    fn fault_injection()(
        delay_percent in 0u32..=100,
        delay in some_time(1..=HOUR),
        abort_percent in 0u32..=100,
        abort_status in 200u32..=599,
    ) -> v1::FaultInjection {
        v1::FaultInjection { delay_percent, delay, abort_percent, abort_status }
    }
}

prop_compose! {
    fn session_affinity()(
        cookie_name in select(vec!["", "SID"]),
        ttl in time(0..=366 * DAY),
        path in select(vec!["", "/", "/shop"]),
    ) -> v1::SessionAffinity {
        v1::SessionAffinity { cookie_name: cookie_name.to_owned(), ttl, path: path.to_owned() }
    }
}

prop_compose! {
    fn slow_start()(
        window in some_time(100..=HOUR),
        aggression in of(0.1f64..=10.0),
        min_weight_percent in of(1u32..=100),
    ) -> v1::SlowStart {
        v1::SlowStart { window, aggression, min_weight_percent }
    }
}

/// Boxed: all that a service can say would not fit on the stack of a test.
fn perhaps<S: Strategy<Value: Clone> + 'static>(some: S) -> BoxedStrategy<Option<S::Value>> {
    of(some.boxed()).boxed()
}

/// Among them what YAML takes for something else than text.
fn text() -> impl Strategy<Value = String> {
    let special =
        ["", "null", "~", "true", "1.10", "1e3", "0x1F", "- a", "a: b", "#a", "'", "\"", "{", "*a", "Grüße"];
    prop_oneof![select(special.to_vec()).prop_map(str::to_owned), "[!-~]([ -~]{0,12}[!-~])?"]
}

fn field_name() -> impl Strategy<Value = String> {
    // Names that differ by case alone are the same: which case it is follows from the rest.
    "x-[a-z0-9_-]{1,10}".prop_map(|name| if name.len() % 2 == 0 { name } else { name.replace('x', "X") })
}

fn time(millis: RangeInclusive<u64>) -> impl Strategy<Value = Option<prost_types::Duration>> {
    prop_oneof![Just(None), some_time(millis)]
}

fn some_time(millis: RangeInclusive<u64>) -> impl Strategy<Value = Option<prost_types::Duration>> {
    millis.prop_map(|millis| Some(weir_proto::duration_to_wire(std::time::Duration::from_millis(millis))))
}
