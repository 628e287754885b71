//! Trouble on purpose: some requests are answered in place of being sent, some wait.

use std::time::Duration;

use tokio::time::Instant;
use weir_tests::{Backend, Daemons, get};

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_or_wait_as_the_settings_say_and_backends_are_not_blamed() {
    let backend = Backend::start("a").await;
    let daemons = Daemons::start(1).await;
    let serve = async |setting: &str| {
        let eject = "outlier_detection: { consecutive_5xx: 1 }";
        daemons.serve("web", &[setting, eject], &[backend.address()]).await;
    };
    let ask = async || get(daemons.traffic[0], "/").await.unwrap();

    serve("fault_injection: { abort_percent: 100, abort_status: 555 }").await;
    for _ in 0..10 {
        let answer = ask().await;
        assert_eq!(answer.status(), 555);
        assert!(answer.head.get("proxy-status").unwrap().contains("fault_injected"), "{}", answer.head.raw);
    }
    assert_eq!(backend.requests(), 0);

    serve("fault_injection: { delay_percent: 100, delay: 300ms }").await;
    let started = Instant::now();
    assert_eq!(ask().await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());

    // Half of 400, give or take more than chance ever does (six standard deviations).
    serve("fault_injection: { abort_percent: 50, abort_status: 503 }").await;
    let mut failed = 0;
    for _ in 0..400 {
        failed += u32::from(ask().await.status() == 503);
    }
    assert!((140..=260).contains(&failed), "{failed} of 400");
    assert!(daemons.found(0, "web", backend.address()).await["ejection"].is_null());
}
