//! A backend with faults to order: one thread, HTTP/1.1, GET only, on loopback.
//!
//!     faulty PORT NAME LOG WORK SLOTS
//!
//! Every answer names the backend in `x-backend`. A request takes WORK milliseconds; at most SLOTS are worked on at a
//! time (0: any number), the others wait in turn. `/healthz` is answered at once. LOG gets a line for each request, with
//! the microsecond in which it was read and `request` or `check`; it is appended to, so that a killed one's is not lost.
//!
//! Standard input says how to behave from now on, a line each: `well`, or a fault and whom it meets, `all` or (not
//! `/healthz`) `requests`: `503 all`, `drip requests`, `reset:10 requests`. It ends when its input does.

mod connection;
mod manner;
mod server;
mod work;

use std::{env, fs::File, io, net::TcpListener, time::Duration};

use rustix::process::{Signal, set_parent_process_death_signal};
use weir_bench_load::prepare;

use self::{server::Server, work::Work};

fn main() -> io::Result<()> {
    prepare()?;
    // A stopped one hears of nothing else.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let words: Vec<String> = env::args().skip(1).collect();
    let [port, name, log, work, slots] = &words[..] else { return Err(usage()) };
    let listener = TcpListener::bind(("127.0.0.1", number(port)?))?;
    let log = File::options().append(true).create(true).open(log)?;
    let slots = Some(number(slots)?).filter(|&slots| slots > 0).unwrap_or(usize::MAX);
    let work = Work::new(Duration::from_millis(number(work)?), slots);
    Server::new(listener, name, log, work)?.serve()
}

fn number<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| usage())
}

fn usage() -> io::Error {
    io::Error::other("usage: faulty PORT NAME LOG WORK SLOTS")
}
