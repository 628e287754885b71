//! Backends that would hold a probe for ever or make it grow.

use tokio::time::Instant;

use super::*;

/// Sends `start`, and then `again` as fast as it is taken, or as slow as `pause` says.
async fn endless(start: &'static str, again: Vec<u8>, pause: Option<Duration>) -> Backend {
    let again: Arc<[u8]> = again.into();
    Backend::scripted(move |mut stream, _| {
        let again = Arc::clone(&again);
        async move {
            head(&mut stream).await;
            stream.write_all(start.as_bytes()).await.unwrap();
            while stream.write_all(&again).await.is_ok() {
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    })
    .await
}

/// With the time that checks have by default, on a stopped clock.
async fn in_time(mut question: Question, backend: &Backend) -> (Outcome, Duration) {
    question.check.timeout = Duration::from_secs(2);
    let start = Instant::now();
    (question.ask(backend.address).await, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_left_when_the_time_is_over() {
    let backend = Backend::silent().await;
    let grpc = || question(Probe::Grpc { service: String::new() });
    for question in [http(|_| ()), over_http2(http(|_| ())), grpc()] {
        let (outcome, took) = in_time(question, &backend).await;
        assert_eq!(outcome, failed("no answer within 2s"));
        assert!(took < Duration::from_millis(2100), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_drips_is_left_when_the_time_is_over() {
    let pause = Some(Duration::from_millis(100));
    let body = http(|probe| probe.expected_body = "ok".into());
    for (start, question) in [("HTTP/1.1 200 OK\r\na: ", http(|_| ())), ("HTTP/1.1 200 OK\r\n\r\n", body)] {
        let backend = endless(start, b"b".to_vec(), pause).await;
        let (outcome, took) = in_time(question, &backend).await;
        assert_eq!(outcome, failed("no answer within 2s"), "{start}");
        assert!(took < Duration::from_millis(2100), "{took:?}");
    }
}

#[tokio::test]
async fn endless_heads_and_bodies_are_read_up_to_their_bounds() {
    let fields = endless("HTTP/1.1 200 OK\r\n", b"a: b\r\n".repeat(1000), None).await;
    let line = endless("HTTP/1.1 200 OK\r\na: ", vec![b'b'; 10_000], None).await;
    for backend in [fields, line] {
        let outcome = http(|_| ()).ask(backend.address).await;
        assert_eq!(outcome, failed("the head of the answer is too large"));
    }
    let body = || http(|probe| probe.expected_body = "ok".into());
    let backend = endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'.'; 10_000], None).await;
    assert_eq!(body().ask(backend.address).await, failed("body lacks \"ok\""));
    let chunks = b"5\r\nhello\r\n".repeat(1000);
    let backend = endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunks, None).await;
    assert_eq!(body().ask(backend.address).await, failed("body lacks \"ok\""));
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    let backend = endless("", interim, None).await;
    assert_eq!(http(|_| ()).ask(backend.address).await, failed("the answer is not valid HTTP/1"));
}

#[tokio::test]
async fn frames_without_an_answer_are_read_up_to_a_bound() {
    let ping = |flags| [&[0, 0, 8, 6, flags, 0, 0, 0, 0][..], &[7; 8]].concat();
    for again in [ping(0), ping(1)] {
        // Settings, which must come first.
        let backend = endless("\0\0\0\x04\0\0\0\0\0", again.repeat(1000), None).await;
        let outcome = over_http2(http(|_| ())).ask(backend.address).await;
        assert_eq!(outcome, failed("frames without an answer"));
    }
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in
        ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "\0\0\0"]
    {
        let backend = Backend::answering(garbage).await;
        let outcome = http(|_| ()).ask(backend.address).await;
        assert_eq!(outcome, failed("the answer is not valid HTTP/1"), "{garbage:?}");
    }
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nok";
    let backend = Backend::answering(chunk).await;
    let outcome = http(|probe| probe.expected_body = "ok".into()).ask(backend.address).await;
    assert_eq!(outcome, failed("the answer is not valid HTTP/1"));
    for answer in ["", "HTTP/1.1 200 O"] {
        let backend = Backend::closing(answer).await;
        let outcome = http(|_| ()).ask(backend.address).await;
        assert_eq!(outcome, failed("connection closed before the answer"), "{answer:?}");
    }
}
