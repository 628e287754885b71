//! The requests of a connection, from the first byte to the moment when it waits for more.

use std::{future::poll_fn, mem, rc::Rc};

use http::{Method, Version};
use tokio::time;

use super::{
    super::{self as downstream, Client, Ending},
    Body, Connection, Interim,
    delivery::Delivery,
    head::{self, Came},
};
use crate::{
    answer,
    body::{Patience, RequestBody},
    http1::ParsedRequest,
    message::{Name, RequestHead},
    proxy,
    reason::Reason,
    upgrade::Tunnel,
    worker::{Coroutine, Spare},
};

/// A head that has grown larger is not kept.
const LARGEST_HEAD: usize = 64 * 1024;

/// How long our own last words may take to go out.
const LAST_WORDS: time::Duration = time::Duration::from_secs(1);

/// What follows.
#[derive(Debug)]
pub(super) enum Next {
    /// The connection waits for its next request.
    Idle,
    End(Ending),
    Tunnel(Box<Tunnel>),
    /// It never was HTTP/1.
    Http2,
}

/// Futures that serve connections while they are used. Each worker keeps some for those that come.
#[derive(Debug)]
pub(crate) struct Busy(Coroutine<Job, Done>);

/// For this client, the connection that has something to read.
type Job = (Rc<Client>, Box<Connection>);

/// The connection, and what follows on it.
type Done = (Box<Connection>, Next);

/// The room that a request needs besides its connection.
#[derive(Debug, Default)]
struct Scratch {
    head: RequestHead,
    out: Vec<u8>,
}

/// Serves what there is to be read, and what follows it without a pause.
pub(super) async fn serve(client: &Rc<Client>, connection: Box<Connection>) -> Done {
    let Busy(coroutine) = client.local.busy().take();
    let (coroutine, done) = coroutine.run((Rc::clone(client), connection)).await;
    client.local.busy().give(Busy(coroutine));
    done
}

impl Default for Busy {
    fn default() -> Self {
        Self(Coroutine::new(|desk| async move {
            let mut scratch = Scratch::default();
            loop {
                let (client, mut connection): Job = desk.job().await;
                let next = requests(&client, &mut connection, &mut scratch).await;
                scratch.clear();
                desk.done((connection, next));
            }
        }))
    }
}

impl Spare for Busy {
    fn clear(&mut self) -> bool {
        true
    }
}

impl Scratch {
    fn clear(&mut self) {
        self.head.clear();
        if self.head.fields.room() > LARGEST_HEAD || !Spare::clear(&mut self.out) {
            mem::take(self);
        }
    }
}

async fn requests(client: &Rc<Client>, connection: &mut Connection, scratch: &mut Scratch) -> Next {
    loop {
        let parsed = match head::read(client, connection, &mut scratch.head).await {
            Came::Request(parsed) => parsed,
            Came::Nothing => return Next::Idle,
            Came::Http2 => return Next::Http2,
            Came::End => return Next::End(Ending::Plain),
            Came::Refused(reason, took) => {
                client.refused(reason, took);
                return Next::End(last_words(client, connection, reason).await);
            }
        };
        if let Some(next) = request(client, connection, scratch, &parsed).await {
            return next;
        }
    }
}

/// One request. None if the connection may bring another.
async fn request(
    client: &Rc<Client>,
    connection: &mut Connection,
    scratch: &mut Scratch,
    parsed: &ParsedRequest,
) -> Option<Next> {
    let Connection { io: Some(io), input, alarm, reset, idle_since, .. } = connection else {
        return Some(Next::End(Ending::Plain));
    };
    let Scratch { head, out } = scratch;
    out.clear();
    let (version, to_head) = (head.version, head.method == Method::HEAD);
    let patience = Patience::without_calls(&head.fields);
    let body = RequestBody::Http1(Body::new(client, io, input, &parsed.framing, patience));
    let interim = match version {
        Version::HTTP_10 => downstream::Interim::None,
        _ => downstream::Interim::Http1(Interim::new(client, io, out)),
    };
    let mut reply = proxy::serve(client, head, body, interim, alarm).await;

    let is_closing = client.listener.is_closing() && !reply.is_tunnel();
    // Who had to ask before the body sends it or not, now that there is an answer: the next bytes may be either.
    let unasked = reply.is_uploading() && head.fields.has(Name::Expect);
    let persistent = parsed.persistent && !is_closing && !reply.closes() && !unasked;
    let mut delivery = Delivery::begin(client, io, &mut reply, out, version, to_head, persistent);
    // Dropped from here on, the connection must not look as if the response had ended well.
    *reset = delivery.is_until_close();
    let delivered = poll_fn(|cx| delivery.poll(cx, alarm)).await;
    let persistent = delivery.is_persistent();
    if let Err(reason) = delivered {
        reply.fail(reason);
        let takes_nothing = matches!(reason, Reason::ClientStalled | Reason::ClientDisplaced);
        let ending = if *reset || takes_nothing { Ending::Reset } else { Ending::Plain };
        return Some(Next::End(ending));
    }
    *reset = false;
    if reply.is_tunnel() {
        return Some(
            reply.into_tunnel().map_or(Next::End(Ending::Plain), |tunnel| Next::Tunnel(Box::new(tunnel))),
        );
    }
    *idle_since = reply.complete();
    if persistent && input.content.is_ended() { None } else { Some(Next::End(Ending::Linger)) }
}

/// The answer to what is no request. How the connection ends then.
pub(super) async fn last_words(client: &Client, connection: &mut Connection, reason: Reason) -> Ending {
    let Some(io) = connection.io() else { return Ending::Plain };
    let answer = answer::raw(reason);
    client.local.counters().bytes_sent.add(answer.len() as u64);
    let mut left = &answer[..];
    let write = async {
        while !left.is_empty() {
            let n = poll_fn(|cx| io.poll_write(cx, left)).await?;
            left = &left[n..];
        }
        poll_fn(|cx| io.poll_flush(cx)).await
    };
    match time::timeout(LAST_WORDS, write).await {
        Ok(Ok(())) => Ending::Linger,
        _ => Ending::Plain,
    }
}
