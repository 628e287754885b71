//! The end of a proxy, as clients of HTTP/2 see it.

use tokio::time::Duration;

use super::{
    super::harness::{Backend, Proxy, web, within},
    client::GoodClient,
    frames::{DATA, END_STREAM, GOAWAY, HEADERS, PING, RawClient, frame},
};

/// No step waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn requests_in_progress_end_well_and_no_others_begin() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::scripted(move |mut served| {
        let told = told.clone();
        async move {
            served.head().await;
            let (go, goes) = tokio::sync::oneshot::channel::<()>();
            told.send(go).unwrap();
            let _ = goes.await;
            served.answer("late").await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = RawClient::to(&proxy).await;
    client.get(1).await;
    let go = within(tells.recv()).await.unwrap();
    let last = |goaway: &super::frames::Frame| u32::from_be_bytes(goaway.rest[..4].try_into().unwrap());
    let asked = async {
        let first = client.until(GOAWAY).await;
        assert_eq!((first.code(), last(&first)), (0, 0x7fff_ffff));
        // Who answers has had time to see it.
        let ping = client.until(PING).await;
        client.send(&frame(PING, 1, 0, &ping.rest)).await;
        let second = client.until(GOAWAY).await;
        assert_eq!((second.code(), last(&second)), (0, 1));
        go.send(()).unwrap();
        let head = client.until(HEADERS).await;
        assert_eq!((head.stream, head.status()), (1, 200));
        assert_eq!(client.until(DATA).await.flags & END_STREAM, END_STREAM);
        while client.next().await.is_some() {}
    };
    let (cut, ()) = tokio::join!(proxy.workers.drain(PATIENCE), asked);
    assert_eq!(cut, 0);
}

#[tokio::test]
async fn a_connection_without_requests_ends_at_once() {
    let backend = Backend::named("hello").await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    assert_eq!(client.get("/").await.unwrap().status, 200);
    let silent = RawClient::to(&proxy).await;
    let (cut, end) = tokio::join!(within(proxy.workers.drain(PATIENCE)), client.end());
    assert_eq!(cut, 0);
    end.unwrap();
    drop(silent);
}

#[tokio::test]
async fn at_the_deadline_all_is_cut_and_looks_so() {
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        served.rest().await;
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = GoodClient::to(&proxy).await;
    let asked = async { client.get("/").await };
    let drained = async {
        super::super::harness::until(|| backend.heads().len() == 1).await;
        proxy.workers.drain(Duration::from_millis(100)).await
    };
    let (answer, cut) = tokio::join!(asked, drained);
    assert_eq!(cut, 1);
    assert!(answer.is_err());
}
