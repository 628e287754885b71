//! An open loop: requests arrive at a constant rate, whatever becomes of those before. One thread; ends by itself.
//!
//!     arrivals ADDRESS PATH RPS REQUESTS FRESH PATIENCE
//!
//! One request in FRESH (0: none) comes from a client of its own that closes its connection afterwards, the others on
//! connections that are kept, as many as are needed. A request is given up after PATIENCE milliseconds. Prints a line
//! for each request, in the order in which they ended: the microsecond in which it was due (on the clock that all
//! processes share), how many later it was sent, how many after `due` it had ended, how, and which backend said so.
//!
//! How: the status of a whole answer; `timeout`; `refused`, when there was no connection, or no descriptor left for one;
//! `broken`, when it ended or was not HTTP. Which backend: what `x-backend` says, `-` without it.

mod answer;
mod client;
mod load;

use std::{
    env,
    io::{self, BufWriter, Write, stdout},
    time::Duration,
};

use weir_bench_load::prepare;

use self::load::{Load, Plan};

fn main() -> io::Result<()> {
    prepare()?;
    let words: Vec<String> = env::args().skip(1).collect();
    let plan = plan(&words)
        .ok_or_else(|| io::Error::other("usage: arrivals ADDRESS PATH RPS REQUESTS FRESH PATIENCE"))?;
    let ended = Load::new(plan)?.run()?;
    let mut output = BufWriter::new(stdout().lock());
    ended.iter().try_for_each(|request| writeln!(output, "{request}"))?;
    output.flush()
}

fn plan(words: &[String]) -> Option<Plan> {
    let [address, path, rps, requests, fresh, patience] = words else { return None };
    let rps: u32 = rps.parse().ok().filter(|&rps| rps > 0)?;
    Some(Plan {
        address: address.parse().ok()?,
        path: path.clone(),
        interval: Duration::from_secs(1) / rps,
        requests: requests.parse().ok()?,
        fresh: fresh.parse().ok()?,
        patience: Duration::from_millis(patience.parse().ok()?),
    })
}
