//! `weir.v1.Discovery`: one stream for each proxy.

mod hello;
mod outbox;
mod session;
mod update;

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::v1::{self, discovery_server::Discovery, proxy_message::Message};

use self::session::Session;
use super::{Api, refused, status};
use crate::{Error, incoming::Peer};

/// Messages that are handed to the connection and not taken yet. One page is about 1 MiB: this is what a proxy that
/// does not read costs.
const OUTGOING: usize = 2;
/// How long a proxy may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl Discovery for Api {
    type StreamStream = ReceiverStream<Result<v1::ControlMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::ProxyMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let peer = request.extensions().get::<Peer>().map_or_else(String::new, |peer| peer.0.to_string());
        let open = self.metrics.open_stream_of("discovery", self.room.proxies).map_err(status)?;
        let (outgoing, answers) = mpsc::channel(OUTGOING);
        let (api, messages) = (self.clone(), request.into_inner());
        // A task of its own, so that reading what the proxy says never waits for the proxy to read.
        tokio::spawn(async move {
            let end = tokio::select! {
                // The proxy is gone: its place must not be kept until the next message fails.
                () = outgoing.closed() => Ok(()),
                end = api.serve_proxy(peer, messages, &outgoing) => end,
            };
            if let Err(status) = end {
                // The proxy may not read any more; then it does not learn why.
                let _ = outgoing.try_send(Err(status));
            }
            drop(open);
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Api {
    async fn serve_proxy(
        &self,
        peer: String,
        mut messages: Streaming<v1::ProxyMessage>,
        outgoing: &mpsc::Sender<Result<v1::ControlMessage, Status>>,
    ) -> Result<(), Status> {
        let hello = timeout(HELLO_TIMEOUT, messages.message());
        let first = self.stopping.run_until_cancelled(hello).await;
        let first = first
            .ok_or_else(|| status(Error::Stopping))?
            .map_err(|_| Status::deadline_exceeded("no Hello came; send it first"))??;
        let Some(Message::Hello(hello)) = first.and_then(|first| first.message) else {
            return Err(Status::failed_precondition("the first message must be Hello"));
        };
        let (identity, has) = hello::decode(hello, peer).map_err(|e| refused(vec![e.within("hello")]))?;
        let membership = self.fleet.join(identity).map_err(status)?;
        Session::new(self, membership, has).run(messages, outgoing).await
    }
}
