//! Who stands out in an interval.

use super::*;

/// Nothing in a row ejects.
fn by_rates(settings: &mut OutlierDetection) {
    (settings.consecutive_5xx, settings.consecutive_gateway_failure) = (0, 0);
    settings.max_ejection_percent = 50;
}

fn ejected(fixture: &Fixture) -> Vec<usize> {
    (0..fixture.service.members.len()).filter(|index| fixture.marks(*index).has(Marks::EJECTED)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_succeeds_much_less_often_than_the_others_is_ejected_at_the_end_of_the_interval() {
    let mut fixture = Fixture::new(6, by_rates);
    for index in 0..6 {
        fixture.end(index, 100, Verdict::Success);
        fixture.fail(index, if index == 4 { 30 } else { 1 });
    }
    fixture.pass(Duration::from_millis(9_900)).await;
    assert_eq!(ejected(&fixture), [0; 0]);
    fixture.pass(Duration::from_millis(100)).await;
    assert_eq!(ejected(&fixture), [4]);
    assert_eq!(fixture.ejections(), [(EjectionCause::SuccessRate, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_met_in_earlier_intervals_does_not_count() {
    let mut fixture = Fixture::new(6, by_rates);
    fixture.fail(4, 99);
    fixture.pass(Duration::from_secs(10)).await;
    for index in 0..6 {
        fixture.end(index, 100, Verdict::Success);
    }
    fixture.pass(Duration::from_secs(10)).await;
    assert_eq!(ejected(&fixture), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn failing_too_large_a_share_ejects_the_worst_first() {
    let percentage = |d: &mut OutlierDetection| {
        by_rates(d);
        d.success_rate_stdev_factor = 0;
        d.failure_percentage_threshold = 40;
        d.failure_percentage_minimum_hosts = 4;
    };
    let mut fixture = Fixture::new(4, percentage);
    for (index, failures) in [50, 39, 40, 60].into_iter().enumerate() {
        fixture.fail(index, failures);
        fixture.end(index, 100 - failures, Verdict::Success);
    }
    fixture.pass(Duration::from_secs(10)).await;
    assert_eq!(ejected(&fixture), [0, 3], "half of them may be out");
    assert_eq!(fixture.ejections(), [(EjectionCause::FailurePercentage, 2)]);
    assert_eq!(fixture.service.live.ejections().total_prevented(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_out_is_not_compared() {
    let mut fixture = Fixture::new(6, |d| {
        by_rates(d);
        d.success_rate_minimum_hosts = 6;
    });
    let endpoint = fixture.endpoint(0);
    endpoint.mark(Marks::default(), Marks::UNHEALTHY);
    for index in 0..6 {
        fixture.end(index, 100, Verdict::Success);
        fixture.fail(index, if index == 4 { 99 } else { 0 });
    }
    fixture.pass(Duration::from_secs(10)).await;
    assert_eq!(ejected(&fixture), [0; 0], "five are too few");
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_ends_with_its_window() {
    let mut fixture = Fixture::new(2, |_| ());
    assert_eq!(fixture.marks(0), Marks::default(), "without one, nothing begins slowly");
    let mut with = (*fixture.service.service).clone();
    with.slow_start = Some(weir_proto::SlowStart {
        window: Duration::from_secs(5),
        aggression: 1000,
        min_weight_percent: 10,
    });
    fixture.service.service = Arc::new(with);
    fixture.endpoint(0).ramp();
    fixture.pass(Duration::from_millis(4_500)).await;
    assert_eq!((fixture.marks(0), fixture.marks(1)), (Marks::RAMPING, Marks::default()));
    fixture.pass(Duration::from_millis(1_500)).await;
    assert_eq!(fixture.marks(0), Marks::default());
}
