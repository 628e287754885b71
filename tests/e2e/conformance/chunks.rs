//! Chunked bodies by the letter: RFC 9112 section 7.1.

use super::stage::{Reach, Stage};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn chunk_sizes_and_extensions() {
    let mut stage = Stage::start().await;
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(4 * 1024 + 1));
    let often = format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(6));
    for body in [
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "-0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "5;a\x01\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;bad[=x\r\nhello\r\n0\r\n\r\n",
        "5;a=\"x\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;\u{e9}\r\nhello\r\n0\r\n\r\n",
        "0;a b\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\r\n\r\n",
        "0;a\x0b\r\n\r\n",
        "0 \r\n\r\n",
        "g\r\n\r\n",
        "５\r\nhello\r\n0\r\n\r\n",
        &long,
        &often,
    ] {
        let what = format!("{:.60}", format!("{body:?}"));
        stage.refuses_with(&what, format!("{HEAD}{body}"), 400, Reach::Beginning).await;
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn good_chunks_arrive_without_their_extensions() {
    let mut stage = Stage::start().await;
    let longest = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(2 * 1024));
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n00\r\n\r\n",
        "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "5;a=b;c=\"d;e\"\r\nhello\r\n0;f\r\n\r\n",
        "5;a=\"\u{e9}\\\"\"\r\nhello\r\n0\r\n\r\n",
        longest.as_str(),
    ] {
        let what = format!("{body:.30}");
        let seen = stage.relays(&what, format!("{HEAD}{body}")).await;
        let text = String::from_utf8_lossy(&seen).into_owned();
        let body = text.split_once("\r\n\r\n").unwrap_or_default().1;
        let data: String = body.lines().filter(|line| !line.is_empty()).skip(1).step_by(2).collect();
        stage.check(data == "hello" && !body.contains(';'), || format!("{what:?} became {body:?}"));
    }
    let request = format!("{HEAD}A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n");
    stage.relays("sizes in either case", request).await;
    stage.end();
}

/// What stands behind a bad body is no request, and what stands before it has been answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_behind_good_ones() {
    let mut stage = Stage::start().await;
    let good = "GET /good HTTP/1.1\r\nHost: web\r\n\r\n";
    for bad in [
        "GET /bad HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost : web\r\n\r\n",
        "POST /bad HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /bad HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "nonsense\r\n\r\n",
        "\0",
    ] {
        stage.backend.forget();
        let mut client = stage.client().await;
        client.wire.send(format!("{good}{good}{bad}{good}")).await.unwrap();
        for _ in 0..2 {
            let answer = client.response("GET").await.unwrap_or_default();
            stage.check(answer.text() == "ok", || format!("before {bad:?}: {}", super::stage::told(&answer)));
        }
        let refusal = client.response("GET").await.unwrap_or_default();
        let ended = client.ends().await;
        stage.check(refusal.status() == 400 && ended, || {
            format!("{bad:?}: {}, ended: {ended}", super::stage::told(&refusal))
        });
        let complete = stage.backend.complete();
        let only_good = complete.iter().all(|request| request.starts_with(b"GET /good HTTP/1.1\r\n"));
        let nothing_else = stage.backend.seen().iter().all(|received| received.rest.is_empty());
        stage.check(complete.len() == 2 && only_good && nothing_else, || format!("{bad:?}: {complete:?}"));
    }
    stage.end();
}
