//! What plain sockets allow a proxy in user space: one thread, epoll, httparse, and no feature at all. A limit to
//! measure against, not a product. `floor LISTEN BACKEND...`
//!
//! It parses heads, drops fields that concern one hop, appends X-Forwarded-For, takes its backends in turn and keeps
//! their connections. It knows bodies by Content-Length only, needs each head in one piece, and waits for slow readers.

mod proxy;
mod rewrite;
mod socket;

use std::{
    env, io,
    net::{AddrParseError, SocketAddr},
};

use weir_bench_load::prepare;

use self::proxy::Proxy;

fn main() -> io::Result<()> {
    let addresses: Result<Vec<SocketAddr>, AddrParseError> =
        env::args().skip(1).map(|address| address.parse()).collect();
    let Ok([listen, backends @ ..]) = addresses.as_deref() else { return usage() };
    if backends.is_empty() {
        return usage();
    }
    prepare()?;
    Proxy::bind(*listen, backends)?.serve()
}

fn usage() -> io::Result<()> {
    Err(io::Error::other("usage: floor LISTEN BACKEND..."))
}
