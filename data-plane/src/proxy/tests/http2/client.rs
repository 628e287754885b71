//! A good client, as libraries are.

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::{net::TcpStream, task::JoinHandle};

use super::super::harness::{Proxy, within};

pub(super) struct GoodClient {
    pub(super) sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().unwrap())
    }

    /// The reason in our own answers.
    pub(super) fn reason(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap().rsplit(['(', ')']).nth(1).unwrap_or("")
    }
}

/// What every request has.
pub(super) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://a{path}"))
}

impl GoodClient {
    pub(super) async fn to(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = within(h2::client::handshake(stream)).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, h2::Error> {
        self.ask(request("GET", path).body(()).unwrap()).await
    }

    pub(super) async fn ask(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        let mut sender = within(self.sender.clone().ready()).await?;
        let (response, _) = sender.send_request(request, true)?;
        answer(response).await
    }

    /// With a body, in pieces, and trailers after it.
    pub(super) async fn upload(
        &mut self,
        request: Request<()>,
        pieces: &[&'static [u8]],
        trailers: Option<HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let mut sender = within(self.sender.clone().ready()).await?;
        let (response, mut out) = sender.send_request(request, false)?;
        for piece in pieces {
            out.send_data(Bytes::from_static(piece), false)?;
        }
        match trailers {
            Some(trailers) => out.send_trailers(trailers)?,
            None => out.send_data(Bytes::new(), true)?,
        }
        answer(response).await
    }

    /// Whether a body of this size comes back as it was sent.
    pub(super) async fn gets_back(&mut self, size: usize) -> bool {
        let text: &'static [u8] =
            (0..size).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect::<Vec<_>>().leak();
        let post = request("POST", "/").header("content-length", size).body(()).unwrap();
        self.upload(post, &[text], None).await.unwrap().body == text
    }

    /// Another of its requests on the same connection.
    pub(super) fn beside(&self) -> impl Future<Output = Result<Answer, h2::Error>> + use<> {
        let sender = self.sender.clone();
        async move {
            let mut sender = within(sender.ready()).await?;
            let (response, _) = sender.send_request(request("GET", "/").body(()).unwrap(), true)?;
            answer(response).await
        }
    }

    /// How the connection ends.
    pub(super) async fn end(self) -> Result<(), h2::Error> {
        drop(self.sender);
        within(self.connection).await.unwrap()
    }
}

pub(super) async fn answer(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, mut incoming) = within(response).await?.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = within(incoming.data()).await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = within(incoming.trailers()).await?;
    Ok(Answer { status: parts.status, fields: parts.headers, body: body.freeze(), trailers })
}
