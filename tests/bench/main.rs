//! Figures about the real programs: `tests/bench/run NAME`. They never fail a test; what is expected stands beside them.
#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

mod body;
mod registration;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "registration" => registration::run().await,
        "body" => body::run().await,
        _ => {
            println!("usage: weir-bench registration|body");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
