//! The network between a proxy and the control plane: what is said on one end waits until it is moved to the other.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Status, Streaming, codec::Codec};
use tonic_prost::ProstCodec;
use weir_proto::v1::{
    ControlMessage, ProxyMessage, control_message::Message as Down, discovery_server::Discovery,
    proxy_message::Message as Up,
};

/// The most that one message may have, as proxies take it.
const MOST_BYTES: usize = 64 << 20;
/// Messages that a proxy may have under way, as its own client has them.
const OUTBOUND: usize = 16;

type Answers = Pin<Box<dyn Stream<Item = Result<ControlMessage, Status>> + Send>>;

/// Both ends of one stream. An end that is dropped is an end that hears of the break.
pub(crate) struct Line {
    /// What the proxy said before the stream was open.
    hello: Option<ProxyMessage>,
    from_proxy: mpsc::Receiver<ProxyMessage>,
    to_proxy: Option<Feed>,
    /// None once the control plane is gone.
    plane: Option<Plane>,
    garbles: bool,
    garbled: bool,
    /// Why the proxy could not use what it was sent, although nothing was garbled.
    pub(crate) complaint: Option<String>,
}

struct Plane {
    to: Feed,
    from: Answers,
}

/// What a proxy needs to follow the stream.
pub(crate) struct ProxyEnd {
    pub(crate) inbound: Streaming<ControlMessage>,
    pub(crate) outbound: mpsc::Sender<ProxyMessage>,
}

impl Line {
    /// Opens a stream. What is said on it waits.
    pub(crate) async fn open(
        plane: &impl Discovery,
        hello: ProxyMessage,
    ) -> Result<(Self, ProxyEnd), Status> {
        let (to, body) = feed();
        let decoder = ProstCodec::<ControlMessage, ProxyMessage>::default().decoder();
        let messages = Streaming::new_request(decoder, body, None, None);
        let answers = plane.stream(Request::new(messages)).await?.into_inner();
        let (to_proxy, body) = feed();
        let decoder = ProstCodec::<ProxyMessage, ControlMessage>::default().decoder();
        let inbound = Streaming::new_response(decoder, body, http::StatusCode::OK, None, Some(MOST_BYTES));
        let (outbound, from_proxy) = mpsc::channel(OUTBOUND);
        let line = Self {
            hello: Some(hello),
            from_proxy,
            to_proxy: Some(to_proxy),
            plane: Some(Plane { to, from: Box::pin(answers) }),
            garbles: false,
            garbled: false,
            complaint: None,
        };
        Ok((line, ProxyEnd { inbound, outbound }))
    }

    /// Moves at most this many messages from the proxy to the control plane; how many it were.
    pub(crate) fn up(&mut self, most: usize) -> usize {
        let Some(plane) = &self.plane else { return 0 };
        let mut moved = 0;
        while moved < most {
            let next = self.hello.take().or_else(|| self.from_proxy.try_recv().ok());
            let Some(message) = next else { break };
            if let Some(Up::Resync(resync)) = &message.message
                && !self.garbled
                && !resync.reason.starts_with("asking again")
            {
                self.complaint = Some(resync.reason.clone());
            }
            plane.to.send(&message);
            moved += 1;
        }
        moved
    }

    /// The other way. When the control plane has ended the stream, the proxy hears that in its turn.
    pub(crate) fn down(&mut self, most: usize) -> usize {
        let Some(plane) = &mut self.plane else { return 0 };
        let mut moved = 0;
        while moved < most {
            match now(plane.from.next()) {
                None => break,
                Some(Some(Ok(mut message))) => {
                    if self.garbles && garble(&mut message) {
                        (self.garbles, self.garbled) = (false, true);
                    }
                    self.to_proxy.as_ref().inspect(|to| to.send(&message));
                }
                Some(Some(Err(_)) | None) => {
                    self.to_proxy = None;
                    self.plane = None;
                    return moved + 1;
                }
            }
            moved += 1;
        }
        moved
    }

    /// The next state on its way to the proxy has another digest than it says.
    pub(crate) fn garble(&mut self) {
        self.garbles = true;
    }

    /// Something that the control plane did not say arrives at the proxy.
    pub(crate) fn slip_in(&mut self, message: Down) {
        self.garbled = true;
        let message = ControlMessage { message: Some(message) };
        self.to_proxy.as_ref().inspect(|to| to.send(&message));
    }

    /// The proxy's end is gone; the control plane goes on.
    pub(crate) fn forget_proxy(&mut self) {
        self.to_proxy = None;
    }

    /// The control plane is gone. The proxy hears of it, unless it is `silent`.
    pub(crate) fn forget_plane(&mut self, silent: bool) {
        self.plane = None;
        if !silent {
            self.to_proxy = None;
        }
    }
}

/// False if it is no state.
fn garble(message: &mut ControlMessage) -> bool {
    let position = match &mut message.message {
        Some(Down::Delta(delta)) => delta.to.as_mut(),
        Some(Down::SnapshotPage(page)) => page.position.as_mut(),
        _ => None,
    };
    position.map(|position| position.digest ^= 1).is_some()
}

/// The sending end of what a decoder reads.
struct Feed(mpsc::UnboundedSender<Bytes>);

struct Fed(mpsc::UnboundedReceiver<Bytes>);

fn feed() -> (Feed, Fed) {
    let (to, from) = mpsc::unbounded_channel();
    (Feed(to), Fed(from))
}

/// A request stream of one message.
pub(crate) fn single<M: Message + Default + 'static>(message: &M) -> Streaming<M> {
    let (to, body) = feed();
    to.send(message);
    Streaming::new_request(ProstCodec::<M, M>::default().decoder(), body, None, None)
}

impl Feed {
    fn send(&self, message: &impl Message) {
        let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut frame).unwrap();
        // Whoever does not listen any more misses it.
        let _ = self.0.send(frame.freeze());
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// What is ready at once.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
