//! When proxies hear of changes.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_proto::OperatorState;

use crate::registry::testing::*;

#[tokio::test(start_paused = true)]
async fn the_first_change_is_published_at_once_and_the_rest_together() {
    let (registry, _task, _) = start().await;
    let mut published = registry.published();
    let begin = Instant::now();
    registry.register(&me(), fixed("web/0", "")).await.expect("ok");
    published.changed().await.expect("open");
    assert!(begin.elapsed() < Duration::from_millis(5), "{:?}", begin.elapsed());
    let first = published.borrow_and_update().snapshot().revision();

    for n in 1..=200 {
        registry.register(&me(), fixed(&format!("web/{n}"), "")).await.expect("ok");
    }
    published.changed().await.expect("open");
    let newest = published.borrow_and_update().clone();
    assert_eq!(newest.snapshot().revision(), registry.current().revision());
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let body = newest.delta_from(first).expect("the step that was published");
    assert_eq!(Some(&body), newest.snapshot().delta_since(first).map(|d| d.body()).as_ref());
    assert_eq!(body.as_ptr(), newest.delta_from(first).expect("again").as_ptr(), "encoded once");
    assert_eq!(newest.delta_from(first.next()), None);
}

#[tokio::test(start_paused = true)]
async fn what_takes_traffic_away_does_not_wait() {
    let (registry, _task, _) = start().await;
    for n in 0..3 {
        registry.register(&me(), fixed(&format!("web/{n}"), "")).await.expect("ok");
    }
    let mut published = registry.published();
    sleep(Duration::from_secs(1)).await;
    for n in 3..6 {
        registry.register(&me(), fixed(&format!("web/{n}"), "")).await.expect("ok");
        let begin = Instant::now();
        let (drained, _) = registry
            .set_operator_state(&me(), key("web/0"), OperatorState::Draining, None)
            .await
            .expect("ok");
        published.wait_for(|p| p.snapshot().revision() >= drained).await.expect("open");
        assert!(begin.elapsed() < Duration::from_millis(5), "{:?}", begin.elapsed());
        registry.set_operator_state(&me(), key("web/0"), OperatorState::Enabled, None).await.expect("ok");
    }
}
