//! Figures about the control plane under large fleets, with the real programs as processes:
//! `tests/bench/run control-plane NAME`. They never fail a test; what is expected stands beside them.
#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

mod agents;
mod applies;
mod beat;
mod change;
mod clock;
mod crowd;
mod exactness;
mod expiries;
mod fronts;
mod kill;
mod leases;
mod ledger;
mod light;
mod measured;
mod operators;
mod plane;
mod real;
mod report;
mod scale;
mod settled;
mod storm;
mod traffic;

use std::{process::ExitCode, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const USAGE: &str = "usage: weir-fleet all|scale|leases|storm|exactness|kill|applies [--short]";
/// What there is, in the order of `all`.
const NAMES: [&str; 6] = ["scale", "leases", "storm", "exactness", "kill", "applies"];

/// How large a fleet is.
#[derive(Debug)]
pub(crate) struct Size {
    backends: usize,
    services: usize,
    proxies: usize,
    changes: usize,
    /// How long to measure what costs little.
    quiet: Duration,
    /// Of leases that fall silent, and how long until the last of them does.
    ttl: Duration,
    silencing: Duration,
    kills: usize,
    /// Real proxies that take traffic, and what they are to learn.
    serving: usize,
    applies: usize,
}

const FULL: Size = Size {
    backends: 100_000,
    services: 1_000,
    proxies: 1_000,
    changes: 100,
    quiet: Duration::from_secs(30),
    ttl: Duration::from_secs(15),
    silencing: Duration::from_mins(1),
    kills: 200,
    serving: 50,
    applies: 1_000,
};
const SHORT: Size = Size {
    backends: 20_000,
    services: 200,
    proxies: 300,
    changes: 30,
    quiet: Duration::from_secs(10),
    ttl: Duration::from_secs(5),
    silencing: Duration::from_secs(20),
    kills: 30,
    serving: 10,
    applies: 100,
};

#[tokio::main]
async fn main() -> ExitCode {
    clock::start();
    open_many();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, size) = match words[..] {
        [name] => (name, FULL),
        [name, "--short"] => (name, SHORT),
        _ => ("", SHORT),
    };
    let names: Vec<&str> = NAMES.into_iter().filter(|other| name == "all" || name == *other).collect();
    if names.is_empty() {
        println!("{USAGE}");
        return ExitCode::from(2);
    }
    for name in names {
        println!("\n{name}");
        match name {
            "scale" => scale::run(&size).await,
            "leases" => leases::run(&size).await,
            "storm" => storm::run(&size).await,
            "exactness" => exactness::run(size.ttl, size.silencing).await,
            "kill" => kill::run(size.kills).await,
            _ => applies::run(size.serving, size.applies).await,
        }
    }
    ExitCode::SUCCESS
}

/// Thousands of connections need as many descriptors, here and in the programs that are started.
fn open_many() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        println!("no more descriptors: {error}");
    }
}
