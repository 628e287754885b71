//! Bodies that are sent once more, to another backend.

use super::harness::{Backend, Proxy, eager, service};

/// Bytes that are where they are, or not.
pub(super) fn text(size: usize) -> String {
    (0..size).map(|n| char::from(b'a' + u8::try_from((n / 7 + n) % 26).unwrap())).collect()
}

/// Framed by its length, or in chunks of about the size of a packet.
fn put(body: &str, chunked: bool) -> String {
    if !chunked {
        return format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }
    let chunks: Vec<_> =
        body.as_bytes().chunks(1400).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    let chunks = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    format!(
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunks.collect::<String>()
    )
}

/// A backend that takes so much of each request and ends the connection.
async fn taking(n: usize) -> Backend {
    Backend::scripted(move |mut served| async move {
        served.head().await;
        served.bytes(n).await;
    })
    .await
}

#[tokio::test]
async fn what_fits_is_sent_again_byte_for_byte() {
    for size in [1 << 10, 40 << 10, 64 << 10] {
        let body = text(size);
        for (chunked, taken) in [(false, 1), (false, size), (true, 1), (true, size)] {
            let (bad, good) = (taking(taken).await, Backend::echo().await);
            let proxy = Proxy::of(vec![service("web", &[bad.address, good.address], eager)]).await;
            let mut client = proxy.client().await;
            for _ in 0..2 {
                let response = client.ask(&put(&body, chunked)).await;
                assert_eq!(response.status(), 200, "{size} bytes, chunked: {chunked}, {taken} were taken");
                assert!(response.body == body, "{size} bytes, chunked: {chunked}, {taken} were taken");
            }
            assert!(proxy.workers.counters().retries >= 1);
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_sent_again() {
    let body = text(100_000);
    for chunked in [false, true] {
        let (bad, good) = (taking(100_000).await, Backend::echo().await);
        let proxy = Proxy::of(vec![service("web", &[bad.address, good.address], eager)]).await;
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            let response = proxy.ask(&put(&body, chunked)).await;
            outcomes.push(response.outcome().0);
            assert!(response.body == body || response.outcome() == (502, "backend_reset"));
        }
        outcomes.sort_unstable();
        assert_eq!(outcomes, [200, 502]);
        assert_eq!((bad.heads().len(), good.heads().len()), (1, 1));
        assert_eq!(proxy.workers.counters().retries, 0);
    }
}

#[tokio::test]
async fn a_second_and_a_third_time_it_is_still_all_there() {
    let (one, two, good) = (taking(20_000).await, taking(1).await, Backend::echo().await);
    let service = service("web", &[one.address, two.address, good.address], |service| {
        eager(service);
        service.retry_policy.num_retries = 2;
    });
    let proxy = Proxy::of(vec![service]).await;
    let body = text(50_000);
    for chunked in [false, true, false, true] {
        assert!(proxy.ask(&put(&body, chunked)).await.body == body);
    }
    assert!(one.heads().len() >= 2 && two.heads().len() >= 2);
}

#[tokio::test]
async fn what_is_still_coming_when_an_attempt_fails_comes_to_the_next() {
    let (bad, good) = (taking(1).await, Backend::echo().await);
    let proxy = Proxy::of(vec![service("web", &[bad.address, good.address], eager)]).await;
    let body = text(30_000);
    for chunked in [false, true, false, true] {
        let (before, whole) = (bad.heads().len() + good.heads().len(), put(&body, chunked));
        let (begin, rest) = whole.split_at(10_000);
        let mut client = proxy.client().await;
        client.send(begin).await;
        super::harness::until(|| bad.heads().len() + good.heads().len() > before).await;
        client.send(rest).await;
        assert!(client.response().await.body == body);
    }
    assert!(proxy.workers.counters().retries >= 1);
}

#[tokio::test]
async fn trailers_are_sent_again_too() {
    let good = Backend::scripted(|mut served| async move {
        served.head().await;
        let rest = served.bytes("1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n".len()).await;
        served.answer(&rest.replace("\r\n", "|")).await;
    })
    .await;
    let bad = taking("1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n".len()).await;
    let proxy = Proxy::of(vec![service("web", &[bad.address, good.address], eager)]).await;
    let put =
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(proxy.ask(put).await.body, "1|x|0|x-sum: 7||");
    }
    assert!(proxy.workers.counters().retries >= 1);
}
