//! Large requests to backends that take them slowly.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{self, Duration, Instant},
};
use weir_proto::{ListenerProtocol, ListenerTls, ServiceProtocol, ServiceTls, TlsVersion};

use super::harness::{Backend, LOCALHOST, Proxy, service, web};
use crate::{
    table::ServiceEntry,
    tls::{
        self,
        testing::{Authority, Folder},
    },
};

#[tokio::test]
async fn a_backend_that_takes_a_body_slowly_has_its_time_anew_with_each_piece() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    const SIZE: usize = 64 << 20;
    let backend = Backend::scripted(|mut served| async move {
        served.head().await;
        let (start, mut left, mut piece) = (Instant::now(), SIZE, vec![0; 1 << 20]);
        while left > 0 {
            if served.stream.read_exact(&mut piece).await.is_err() {
                return;
            }
            left -= piece.len();
            if start.elapsed() < TIMEOUT * 3 / 2 {
                time::sleep(TIMEOUT / 20).await;
            }
        }
        served.answer("all").await;
    })
    .await;
    let service = service("web", &[backend.address], |service| service.timeouts.request = TIMEOUT);
    let proxy = Proxy::of(vec![service]).await;
    let response = upload(&proxy, SIZE).await;
    assert!(response.ends_with("\r\n\r\nall"), "{response}");
}

#[tokio::test]
async fn a_large_body_arrives_whole_by_tls() {
    const SIZE: usize = 8 << 20;
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let settings = ListenerTls {
        certificates: vec![folder.issue("web", &root, &["127.0.0.1"])],
        min_version: TlsVersion::Tls12,
        client_certificate: None,
    };
    let server = tls::Server::load(&settings, ListenerProtocol::Http1).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(server.config());
    let listener = TcpListener::bind(LOCALHOST).await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(socket).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        // So slowly that the proxy has to wait.
        let mut piece = vec![0; 256 << 10];
        for _ in 0..SIZE / piece.len() {
            stream.read_exact(&mut piece).await.unwrap();
            time::sleep(Duration::from_millis(5)).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall").await.unwrap();
        stream.flush().await.unwrap();
        stream
    });
    let ca = Some(folder.write("ca.pem", &root.certificate()));
    let proxy = Proxy::of(vec![secure(address, &ServiceTls { ca, ..Default::default() })]).await;
    let response = upload(&proxy, SIZE).await;
    assert!(response.ends_with("\r\n\r\nall"), "{response}");
    drop(backend.await.unwrap());
}

fn secure(address: SocketAddr, settings: &ServiceTls) -> Arc<ServiceEntry> {
    let mut entry = web(&[address]);
    let client = tls::Client::load(settings, ServiceProtocol::Http1).unwrap();
    Arc::get_mut(&mut entry).unwrap().tls = Some(client);
    entry
}

/// RFC 9112 section 9.6. Neither the rest of the request nor a next one is read after it.
#[tokio::test]
async fn an_answer_to_half_a_request_announces_the_end_of_the_connection() {
    for answer in [
        &["HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno"][..],
        &["HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\n", "no"],
        &["HTTP/1.1 413 No\r\ntransfer-encoding: chunked\r\n\r\n", "2\r\nno\r\n0\r\n\r\n"],
        &["HTTP/1.1 303 See\r\ncontent-length: 2\r\n\r\n", "no"],
        &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"],
        &["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n", "no"],
        &["HTTP/1.1 200 OK\r\n\r\nno"],
        &["HTTP/1.1 204 No\r\n\r\n"],
    ] {
        let (go_on, may) = tokio::sync::watch::channel(false);
        let backend = Backend::scripted(move |mut served| {
            let mut may = may.clone();
            async move {
                served.head().await;
                served.send(answer[0]).await;
                let _ = may.wait_for(|may| *may).await;
                for piece in &answer[1..] {
                    served.send(piece).await;
                }
            }
        })
        .await;
        let proxy = Proxy::of(vec![web(&[backend.address])]).await;
        let mut client = proxy.client().await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\nsome of it").await;
        let head = client.head().await;
        assert!(head.contains("\r\nconnection: close\r\n"), "{answer:?}: {head}");
        go_on.send_replace(true);
        let rest = client.rest().await;
        assert!(rest.contains("no") || head.contains(" 204 "), "{answer:?}: {rest}");
    }
}

/// The rest may be taken while a long answer is on its way.
#[tokio::test]
async fn a_success_that_goes_on_with_its_request_announces_no_end() {
    let backend = Backend::scripted(|mut served| async move {
        while served.head().await.is_some() {
            served.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await;
            let echo = served.bytes(4).await;
            served.send(&echo).await;
        }
    })
    .await;
    let proxy = Proxy::of(vec![web(&[backend.address])]).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab").await;
        let head = client.head().await;
        assert!(!head.contains("\r\nconnection:"), "{head}");
        client.send("cd").await;
        assert_eq!(client.bytes(4).await, "abcd");
    }
}

/// All that the proxy says to a request with a body of zeros.
async fn upload(proxy: &Proxy, size: usize) -> String {
    let mut client = proxy.client().await;
    client
        .send(&format!("PUT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"))
        .await;
    // An early answer is for the caller to notice.
    let _ = client.0.write_all(&vec![0; size]).await;
    client.rest().await
}
