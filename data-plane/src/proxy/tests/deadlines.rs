//! How long backends may take, and what they are told of it.

use std::sync::Arc;

use tokio::time::{self, Duration};
use weir_proto::RetryOn;

use super::harness::{Backend, Proxy, eager, field, service, until};
use crate::table::ServiceEntry;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";

const MINUTE: Duration = Duration::from_mins(1);
/// How long `busy` backends take.
const WHILE: Duration = Duration::from_millis(100);

/// Both within the given times.
fn hurried(backends: &[&Backend], request: Duration, per_try: Option<Duration>) -> Arc<ServiceEntry> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    service("web", &addresses, |service| {
        eager(service);
        (service.timeouts.request, service.timeouts.per_try) = (request, per_try);
    })
}

#[tokio::test]
async fn whoever_takes_too_long_for_one_try_is_not_waited_for() {
    let (slow, quick) = (Backend::silent().await, Backend::named("quick").await);
    let entry = hurried(&[&slow, &quick], MINUTE, Some(Duration::from_secs(1)));
    let proxy = Proxy::of(vec![entry]).await;
    for _ in 0..2 {
        assert_eq!(proxy.ask(GET).await.body, "quick");
    }
    assert_eq!(quick.heads().len(), 2);
    until(|| !slow.heads().is_empty()).await;
}

#[tokio::test]
async fn the_client_is_told_which_time_ran_out() {
    let long = MINUTE;
    let short = Duration::from_millis(300);
    for (request, per_try, asks, told, asked) in [
        (long, Some(short), GET, "try_timeout", 2),
        (long, Some(short), POST, "try_timeout", 1),
        (short, Some(long), GET, "response_timeout", 1),
        (short, None, GET, "response_timeout", 1),
        (short, Some(short), GET, "response_timeout", 1),
    ] {
        let (one, two) = (Backend::silent().await, Backend::silent().await);
        let proxy = Proxy::of(vec![hurried(&[&one, &two], request, per_try)]).await;
        let response = proxy.ask(asks).await;
        assert_eq!(response.outcome(), (504, told));
        // What was sent there may still be on its way.
        until(|| one.heads().len() + two.heads().len() == asked).await;
    }
}

#[tokio::test]
async fn a_retry_has_no_more_than_what_is_left_of_the_time_for_all() {
    // Each try may take more than the half of all.
    let (one, two) = (Backend::silent().await, Backend::silent().await);
    let entry = hurried(&[&one, &two], Duration::from_millis(1_500), Some(Duration::from_secs(1)));
    let proxy = Proxy::of(vec![entry]).await;
    assert_eq!(proxy.ask(GET).await.outcome(), (504, "response_timeout"));
    until(|| (one.heads().len(), two.heads().len()) == (1, 1)).await;
}

/// Answers 503 after a while.
async fn busy() -> Backend {
    Backend::scripted(|mut served| async move {
        while served.message().await.is_some() {
            time::sleep(WHILE).await;
            served.send("HTTP/1.1 503 So\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await
}

/// What a field says at both of two backends, the most first: the time that is left becomes less.
fn told(one: &Backend, two: &Backend, name: &str) -> Vec<Duration> {
    let heads = [one.heads(), two.heads()].concat();
    let values = heads.iter().map(|head| {
        assert_eq!(head.to_ascii_lowercase().matches(&format!("\r\n{name}: ")).count(), 1, "{head}");
        let value = field(head, name).unwrap();
        match value.strip_suffix('u') {
            Some(micros) => Duration::from_micros(micros.parse().unwrap()),
            None => Duration::from_millis(value.trim_end_matches('m').parse().unwrap()),
        }
    });
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    values
}

#[tokio::test]
async fn backends_are_told_how_much_time_is_left() {
    const TRY: Duration = Duration::from_secs(5);
    for (per_try, first, most) in [(None, MINUTE, MINUTE.saturating_sub(WHILE)), (Some(TRY), TRY, TRY)] {
        let (one, two) = (busy().await, busy().await);
        let mut entry = hurried(&[&one, &two], MINUTE, per_try);
        let service = Arc::get_mut(&mut Arc::get_mut(&mut entry).unwrap().service).unwrap();
        service.timeouts.deadline_header = Some("x-left".into());
        service.retry_policy.retry_on = vec![RetryOn::ServerError];
        Arc::get_mut(&mut entry).unwrap().looks_at_answers = true;
        let proxy = Proxy::of(vec![entry]).await;
        let put = "PUT / HTTP/1.1\r\nhost: a\r\nX-Left: 99999999\r\ncontent-length: 2\r\n\r\nab";
        assert_eq!(proxy.ask(put).await.status(), 503);
        let told = told(&one, &two, "x-left");
        assert!(told[0] == first && told[1] <= most, "{told:?}");
    }
}

#[tokio::test]
async fn a_call_says_how_much_time_is_left() {
    let (one, two) = (busy().await, busy().await);
    let addresses = [one.address, two.address];
    let entry = service("web", &addresses, |service| {
        eager(service);
        service.retry_policy.retry_on = vec![RetryOn::ServerError];
        service.retry_policy.retry_non_idempotent = true;
    });
    let proxy = Proxy::of(vec![entry]).await;
    let call = "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\
        grpc-timeout: 20000m\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";
    assert_eq!(proxy.ask(call).await.status(), 503);
    let told = told(&one, &two, "grpc-timeout");
    assert!(told[0] == Duration::from_secs(20) && told[1] + WHILE <= told[0], "{told:?}");
}
