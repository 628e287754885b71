//! Listeners that open, close and drain; the access log.

use std::sync::Arc;

use tokio::{
    io::AsyncReadExt,
    sync::Semaphore,
    time::{Duration, Instant},
};
use weir_proto::Limits;

use super::harness::{Backend, Proxy, until, via, web};
use crate::{access_log::AccessLog, listener, worker::Terms};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Answers when the gate lets it.
async fn gated(gate: &Arc<Semaphore>) -> Backend {
    let gate = Arc::clone(gate);
    Backend::scripted(move |mut served| {
        let gate = Arc::clone(&gate);
        async move {
            while served.head().await.is_some() {
                gate.acquire().await.unwrap().forget();
                served.answer("a").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_closed_listener_finishes_what_it_has_and_frees_the_port() {
    let gate = Arc::new(Semaphore::new(0));
    let backend = gated(&gate).await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| !backend.heads().is_empty()).await;
    proxy.workers.close(proxy.address).await;
    assert!(listener::bind(proxy.address, 2).is_ok(), "the port is free");
    gate.add_permits(1);
    let response = client.response().await;
    assert_eq!((response.body.as_str(), response.field("connection")), ("a", Some("close")));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_drain_waits_for_requests_and_takes_what_was_accepted() {
    let gate = Arc::new(Semaphore::new(0));
    let backend = gated(&gate).await;
    let proxy = Arc::new(Proxy::of(vec![web(&[backend.address])]).await);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = proxy.client().await;
        client.send(GET).await;
        clients.push(client);
    }
    let draining = Arc::clone(&proxy);
    let drain = tokio::spawn(async move { draining.workers.drain(Duration::from_mins(1)).await });
    until(|| backend.heads().len() == 20).await;
    assert!(!drain.is_finished());
    gate.add_permits(20);
    for mut client in clients {
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(drain.await.unwrap(), 0);
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_and_says_what_it_cut() {
    let gate = Arc::new(Semaphore::new(0));
    let backend = gated(&gate).await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| !backend.heads().is_empty()).await;
    let start = Instant::now();
    assert_eq!(proxy.workers.drain(Duration::from_millis(100)).await, 1);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_answer_that_the_deadline_cuts_never_looks_complete() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        served.head().await;
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = AccessLog::file(file.path()).unwrap();
    let proxy = Proxy::bare(Limits::default(), Some(&log)).await;
    proxy.serve(vec![web(&[backend.address])], &[]);
    // To HTTP/1.0 the end of the connection is the end of the answer.
    let mut old = proxy.client().await;
    old.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    old.head().await;
    assert_eq!(old.bytes(4).await, "half");
    let mut new = proxy.client().await;
    new.send(GET).await;
    new.head().await;
    assert_eq!(new.bytes(9).await, "4\r\nhalf\r\n");
    assert_eq!(proxy.workers.drain(Duration::from_millis(100)).await, 2);
    assert_eq!(old.0.read_u8().await.map_err(|e| e.kind()), Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(new.rest().await, "");
    drop(proxy);
    assert!(log.finish().await);
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.matches("\"reason\":\"stopped\"").count(), 2, "{text}");
}

#[tokio::test]
async fn limits_change_without_a_new_socket() {
    let gate = Arc::new(Semaphore::new(0));
    let backend = gated(&gate).await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let limits = Limits { max_connections: 1, ..Limits::default() };
    proxy.workers.update(proxy.address, &Terms::plain("renamed", limits)).await;
    proxy.workers.barrier().await;
    let mut first = proxy.client().await;
    first.send(GET).await;
    until(|| !backend.heads().is_empty()).await;
    assert_eq!(proxy.client().await.rest().await, "");
}

#[tokio::test]
async fn dropped_workers_cut_everything() {
    let gate = Arc::new(Semaphore::new(0));
    let backend = gated(&gate).await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    until(|| !backend.heads().is_empty()).await;
    drop(proxy);
    assert_eq!(client.rest().await, "");
}

/// Idle connections know their worker, which keeps them.
#[tokio::test]
async fn the_access_log_ends_with_the_workers_whatever_they_kept() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = AccessLog::file(file.path()).unwrap();
    let backend = Backend::named("a").await;
    let proxy = Proxy::bare(Limits::default(), Some(&log)).await;
    proxy.serve(vec![web(&[backend.address])], &[]);
    for _ in 0..20 {
        assert_eq!(proxy.ask(GET).await.status(), 200);
    }
    proxy.workers.drain(Duration::from_secs(5)).await;
    drop(proxy);
    assert!(log.finish().await, "all that was to be written is");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 20);
}

#[tokio::test]
async fn the_access_log_tells_how_requests_ended_and_keeps_secrets() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = AccessLog::file(file.path()).unwrap();
    let backend = Backend::named("a").await;
    let proxy = Proxy::bare(Limits::default(), Some(&log)).await;
    proxy.serve(vec![web(&[backend.address])], &[]);
    proxy.ask("GET /x?token=secret HTTP/1.1\r\nhost: a\r\nauthorization: secret\r\n\r\n").await;
    proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\nvia: {}\r\n\r\n", via())).await;
    let text = || std::fs::read_to_string(file.path()).unwrap();
    until(|| text().lines().count() == 2).await;
    let text = text();
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let relayed = find("/x");
    assert_eq!(relayed["status"], 200);
    assert_eq!(relayed["reason"], "ok");
    assert_eq!(relayed["service"], "web");
    assert_eq!(relayed["backend"], backend.address.to_string());
    assert_eq!((&relayed["attempts"], &relayed["bytes_out"]), (&1.into(), &1.into()));
    assert_eq!(find("/")["reason"], "loop_detected");
}
