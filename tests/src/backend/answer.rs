//! One connection of a backend.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::time::sleep;

use super::{Behaviour, Request, Shared, UnderWay};
use crate::{Head, Wire};

pub(super) async fn connection(mut wire: Wire, shared: Arc<Shared>) {
    // The other end may go at any time; that is its right.
    while let Ok(head) = wire.head().await {
        let under_way = UnderWay::begin(&shared);
        shared.requests.fetch_add(1, Relaxed);
        if !matches!(request(&mut wire, head, &shared, under_way).await, Ok(true)) {
            return;
        }
        shared.answered.fetch_add(1, Relaxed);
    }
}

/// Answers one request. Whether the connection goes on.
async fn request(wire: &mut Wire, head: Head, shared: &Shared, under_way: UnderWay<'_>) -> io::Result<bool> {
    let behaviour = shared.behaviour.lock().expect("not poisoned").clone().of(&head);
    let is_head = head.start().starts_with("HEAD ");
    match behaviour {
        // They begin to answer at once.
        Behaviour::Mirror => {
            drop(under_way);
            return mirror(wire, &head).await.map(|()| true);
        }
        Behaviour::Upgrade => {
            drop(under_way);
            return upgrade(wire, &head).await.map(|()| false);
        }
        _ => {}
    }
    if head.get("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let raw = head.raw.clone();
    read_body(wire, head, shared).await?;
    let waited = wait(wire, &behaviour, shared).await;
    // Before the answer: whoever has it may ask again at once.
    drop(under_way);
    if waited == Waited::InVain {
        shared.given_up.fetch_add(1, Relaxed);
        return Ok(false);
    }
    match behaviour {
        Behaviour::Name | Behaviour::Hold | Behaviour::After(_) => {
            named(wire, 200, &shared.name, is_head).await?;
        }
        Behaviour::Status(status) => named(wire, status, &shared.name, is_head).await?,
        Behaviour::Facts => {
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{raw}", raw.len())).await?;
        }
        Behaviour::Raw(bytes) => wire.send(bytes).await?,
        Behaviour::RawThenClose(bytes) => {
            wire.send(bytes).await?;
            return Ok(false);
        }
        Behaviour::RawThenReset(bytes) => {
            wire.send(bytes).await?;
            wire.reset_on_drop()?;
            return Ok(false);
        }
        Behaviour::CloseIdle => {
            named(wire, 200, &shared.name, is_head).await?;
            return Ok(false);
        }
        Behaviour::Drip(chunks, pause) => {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            for _ in 0..chunks {
                sleep(pause).await;
                wire.send_chunk(b".").await?;
            }
            wire.send_chunk(b"").await?;
        }
        Behaviour::Mirror | Behaviour::Upgrade | Behaviour::Hang | Behaviour::At(..) => {}
    }
    Ok(true)
}

#[derive(PartialEq, Eq)]
enum Waited {
    Enough,
    /// The other end has gone.
    InVain,
}

/// For what the behaviour wants to wait for, unless the other end goes.
async fn wait(wire: &mut Wire, behaviour: &Behaviour, shared: &Shared) -> Waited {
    let enough = async {
        match behaviour {
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Hold => shared.held.acquire().await.expect("never closed").forget(),
            Behaviour::After(time) => sleep(*time).await,
            _ => {}
        }
    };
    tokio::select! {
        biased;
        () = enough => Waited::Enough,
        () = gone(wire) => Waited::InVain,
    }
}

/// Waits until the other end is gone.
async fn gone(wire: &mut Wire) {
    while wire.some().await.is_ok_and(|bytes| !bytes.is_empty()) {}
}

async fn named(wire: &mut Wire, status: u16, name: &str, is_head: bool) -> io::Result<()> {
    if matches!(status, 204 | 304) {
        return wire.send(format!("HTTP/1.1 {status} -\r\nX-Backend: {name}\r\n\r\n")).await;
    }
    let body = if is_head { "" } else { name };
    let length = name.len();
    wire.send(format!("HTTP/1.1 {status} -\r\nX-Backend: {name}\r\nContent-Length: {length}\r\n\r\n{body}"))
        .await
}

async fn read_body(wire: &mut Wire, head: Head, shared: &Shared) -> io::Result<()> {
    let mut request = Request { head, body: Vec::new(), trailers: Vec::new() };
    if request.head.chunked() {
        loop {
            let chunk = wire.chunk().await?;
            if chunk.is_empty() {
                break;
            }
            request.body.extend(chunk);
        }
        request.trailers = wire.trailers().await?;
    } else if let Some(length) = request.head.length() {
        request.body = wire.exactly(length).await?;
    }
    if shared.record.load(Relaxed) {
        shared.recorded.lock().expect("not poisoned").push(request);
    }
    Ok(())
}

async fn mirror(wire: &mut Wire, head: &Head) -> io::Result<()> {
    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n").await?;
    let mut left = head.length().unwrap_or_default();
    loop {
        let chunk = if head.chunked() {
            wire.chunk().await?
        } else if left > 0 {
            let some = wire.some().await?;
            left -= some.len().min(left);
            some
        } else {
            Vec::new()
        };
        if chunk.is_empty() {
            break;
        }
        wire.send_chunk(&chunk).await?;
    }
    let trailers = if head.chunked() { wire.trailers().await? } else { Vec::new() };
    let mut end = "0\r\n".to_owned();
    for (name, value) in trailers {
        end.extend([&name, ": ", &value, "\r\n"]);
    }
    wire.send(end + "\r\n").await
}

async fn upgrade(wire: &mut Wire, head: &Head) -> io::Result<()> {
    let protocol = head.get("upgrade").unwrap_or_default();
    wire.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    ))
    .await?;
    loop {
        let some = wire.some().await?;
        if some.is_empty() {
            return wire.finish().await;
        }
        wire.send(some).await?;
    }
}
