//! A cheap HTTP/1.1 load generator: one thread; every mode ends by itself and prints one line of JSON.
//!
//!     generator closed ADDRESS PATH CONNECTIONS SECONDS WARM [BODY]   each connection asks again as soon as it is answered
//!     generator rate ADDRESS PATH RPS CONNECTIONS SECONDS WARM        a constant rate; latency from the intended moment on
//!     generator idle ADDRESS PATH CONNECTIONS SECONDS                 one request on each connection, then silence
//!     generator count ADDRESS PATH REQUESTS                           one connection, one request after the other

mod arguments;
mod closed;
mod connection;
mod fleet;
mod rate;
mod single;

use std::{
    env,
    io::{self, Write, stdout},
};

use weir_bench_load::prepare;

use self::arguments::{Arguments, Load};

fn main() -> io::Result<()> {
    prepare()?;
    let Some(Arguments { address, path, load }) = Arguments::parse(env::args().skip(1)) else {
        return Err(io::Error::other("usage: generator closed|rate|idle|count ADDRESS PATH NUMBERS..."));
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
        Load::Count { requests } => print(&single::count(address, &path, requests)?),
    }
}

fn print(line: &str) -> io::Result<()> {
    writeln!(stdout(), "{line}")?;
    stdout().flush()
}
