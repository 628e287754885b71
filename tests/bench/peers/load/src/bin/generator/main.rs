//! A cheap HTTP/1.1 load generator: one thread; every mode ends by itself and prints one line of JSON.
//!
//!     generator closed ADDRESS PATH CONNECTIONS SECONDS WARM [BODY]   each connection asks again as soon as it is answered
//!     generator rate ADDRESS PATH RPS CONNECTIONS SECONDS WARM        a constant rate; latency from the intended moment on
//!     generator idle ADDRESS PATH CONNECTIONS SECONDS                 one request on each connection, then silence
//!     generator count ADDRESS PATH REQUESTS [BODY]                    one connection, one request after the other
//!     generator websocket ADDRESS PATH CONNECTIONS SECONDS WARM SIZE  each connection says more as soon as it has its echo
//!
//! BODY is a number of bytes, or `chunked:` and one.

mod arguments;
mod closed;
mod connection;
mod fleet;
mod rate;
mod request;
mod single;
mod websocket;

use std::{
    env,
    io::{self, Write, stdout},
};

use weir_bench_load::prepare;

use self::arguments::{Arguments, Load};

fn main() -> io::Result<()> {
    prepare()?;
    let Some(Arguments { address, path, load }) = Arguments::parse(env::args().skip(1)) else {
        return Err(io::Error::other(
            "usage: generator closed|rate|idle|count|websocket ADDRESS PATH NUMBERS...",
        ));
    };
    match load {
        Load::Closed { connections, time, body } => {
            print(&closed::run(address, &path, connections, time, body)?)
        }
        Load::Rate { rps, connections, time } => print(&rate::run(address, &path, rps, connections, time)?),
        Load::Idle { connections, hold } => {
            let held = single::open(address, &path, connections)?;
            print(&held.line())?;
            std::thread::sleep(hold);
            Ok(())
        }
        Load::Count { requests, body } => print(&single::count(address, &path, requests, body)?),
        Load::WebSocket { connections, time, size } => {
            print(&websocket::run(address, &path, connections, time, size)?)
        }
    }
}

fn print(line: &str) -> io::Result<()> {
    writeln!(stdout(), "{line}")?;
    stdout().flush()
}
