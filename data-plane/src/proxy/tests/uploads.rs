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
