//! A backend that speaks HTTP/2, and does as scripted with each request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, Request, Response, request::Parts};
use tokio::net::TcpListener;
use weir_proto::ServiceProtocol;

use super::super::harness::{LOCALHOST, service};
use crate::table::ServiceEntry;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<Parts>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// One request at a backend.
pub(super) struct Asked {
    pub(super) parts: Parts,
    pub(super) incoming: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
}

impl Asked {
    /// The body and the trailers.
    pub(super) async fn body(&mut self) -> Result<(Bytes, Option<HeaderMap>), h2::Error> {
        let mut body = BytesMut::new();
        while let Some(data) = self.incoming.data().await {
            let data = data?;
            self.incoming.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        Ok((body.freeze(), self.incoming.trailers().await?))
    }

    /// Sends each piece of the body back as it comes. What is left to say is for the caller.
    pub(super) async fn echo(&mut self) -> SendStream<Bytes> {
        let mut out = self.respond.send_response(Response::new(()), false).unwrap();
        while let Some(data) = self.incoming.data().await {
            let data = data.unwrap();
            self.incoming.flow_control().release_capacity(data.len()).unwrap();
            out.send_data(data, false).unwrap();
        }
        out
    }

    /// Answers with a body.
    pub(super) fn answer(mut self, body: impl Into<Bytes>) {
        let mut out = self.respond.send_response(Response::new(()), false).unwrap();
        out.send_data(body.into(), true).unwrap();
    }
}

impl Server {
    pub(super) async fn scripted<F>(script: impl Fn(Asked) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::built(h2::server::Builder::new(), script).await
    }

    pub(super) async fn built<F>(
        builder: h2::server::Builder,
        script: impl Fn(Asked) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(LOCALHOST).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::<Mutex<Vec<Parts>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (for_task, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Relaxed);
                let (script, requests, builder) = (script.clone(), Arc::clone(&for_task), builder.clone());
                tokio::spawn(async move {
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let (parts, incoming) = Request::into_parts(request);
                        requests.lock().unwrap().push(parts.clone());
                        tokio::spawn(script(Asked { parts, incoming, respond }));
                    }
                });
            }
        });
        Self { address, requests, connections, task }
    }

    /// Answers every request with its name.
    pub(super) async fn named(name: &'static str) -> Self {
        Self::scripted(move |asked| async move { asked.answer(name) }).await
    }

    pub(super) fn requests(&self) -> Vec<Parts> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A service whose backends speak HTTP/2.
pub(super) fn http2(backends: &[SocketAddr]) -> Arc<ServiceEntry> {
    service("web", backends, |service| service.protocol = ServiceProtocol::Http2)
}
