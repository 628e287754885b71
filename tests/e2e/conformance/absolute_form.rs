//! A target with an authority: it is used, and `Host` is replaced. RFC 9112 section 3.2.2.

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_of_the_target_counts() {
    let mut stage = Stage::start().await;
    // With a second service the host decides; the field names one that does not exist.
    let _other = stage.part().await;
    for (target, seen_as, host) in [
        ("http://web/a?b", "/a?b", "web"),
        ("http://web:8080/a", "/a", "web:8080"),
        ("HTTP://WEB/a", "/a", "WEB"),
        ("https://web/a", "/a", "web"),
        ("http://web", "/", "web"),
        ("http://web?q", "/?q", "web"),
    ] {
        for fields in ["Host: nowhere\r\n", "X-A: 1\r\nHost: web\r\n"] {
            let seen = stage.relays(target, format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).await;
            let text = String::from_utf8_lossy(&seen).into_owned();
            let hosts: Vec<_> =
                text.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:")).collect();
            let holds = text.starts_with(&format!("GET {seen_as} HTTP/1.1\r\n"))
                && hosts.len() == 1
                && hosts[0][5..].trim() == host;
            stage.check(holds, || format!("{target} with {fields:?} became {text:?}"));
        }
    }
    stage.relays("HTTP/1.0 without Host", "GET http://web/ HTTP/1.0\r\n\r\n").await;
    stage.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_are_for_others() {
    let mut stage = Stage::start().await;
    for target in [
        "ftp://web/",
        "ws://web/",
        "file:///etc/passwd",
        "javascript://web/",
        "http:///",
        "http://",
        "http://user@web/",
        "http://user:word@web/",
        "http://web:port/",
        "http://web:99999/",
        "http://web,web/",
        "http://[::1/",
        "http:/web/",
        "http//web/",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: web\r\n\r\n");
        stage.refuses(target, request, 400).await;
    }
    stage.refuses("no Host", "GET http://web/ HTTP/1.1\r\n\r\n", 400).await;
    stage.refuses("a bad Host", "GET http://web/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400).await;
    stage.refuses("two Hosts", "GET http://web/ HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n", 400).await;
    stage.end();
}
