//! Requests as hyper reads them: what we let through, it reads alike.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use bolero::check;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{
    super::request::parse,
    recipe::cook,
    requests::{SEEDS, for_peers, for_us},
};
use crate::{
    http1::{Framing, Most},
    message::RequestHead,
};

#[test]
fn peers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    check!(name = "requests").for_each(|input: &[u8]| {
        let text = cook(input, SEEDS);
        let mut head = RequestHead::default();
        let Ok(Some(parsed)) = parse(&text, 2048, Most { bytes: 4096, fields: 100 }, &mut head) else {
            return;
        };
        let Some(theirs) = runtime.block_on(read(&for_peers(&text[..parsed.bytes]))) else {
            // What a target may be is finer there.
            assert!(target(&text).is_none_or(|target| target.parse::<Uri>().is_err()));
            return;
        };
        assert_eq!(theirs.method(), head.method);
        let length = match parsed.framing {
            Framing::Empty => Some(0),
            Framing::Sized(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        assert_eq!(theirs.body().size_hint().exact(), length);
        if head.authority().is_none() {
            assert_eq!(theirs.uri().to_string(), head.target());
        }
        let theirs = theirs.headers().iter();
        let mut theirs: Vec<_> = theirs
            .map(|(name, value)| (name.to_string(), for_us(name.as_str(), value.as_bytes()).to_vec()))
            .collect();
        let ours = head.fields.iter();
        let mut ours: Vec<_> = ours
            .map(|field| (String::from_utf8_lossy(field.spelling).to_lowercase(), field.value.to_vec()))
            .collect();
        theirs.sort();
        ours.sort();
        assert_eq!(theirs, ours);
    });
}

/// What hyper makes of the bytes of a head.
async fn read(head: &[u8]) -> Option<Request<Incoming>> {
    let read = Rc::new(RefCell::new(None));
    let (mut client, server) = tokio::io::duplex(8 * 1024);
    client.write_all(head).await.unwrap();
    let service = service_fn(|request| {
        read.borrow_mut().get_or_insert(request);
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    // All it needs is there: it is asked once.
    tokio::select! {
        biased;
        _ = connection => {}
        () = std::future::ready(()) => {}
    }
    read.take()
}

fn target(text: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(text);
    line.trim_start().split(' ').nth(1).map(str::to_owned)
}
