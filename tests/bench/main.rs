//! Figures about the real programs: `tests/bench/run NAME`. They never fail a test; what is expected stands beside them.
#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

mod body;
mod churn;
mod registration;

use std::process::ExitCode;

const USAGE: &str =
    "usage: weir-bench registration|body, or weir-bench churn CONTROL_PLANE SERVICE BACKEND SECONDS";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["registration"] => registration::run().await,
        ["body"] => body::run().await,
        ["churn", control_plane, service, backend, seconds] => {
            let (Ok(control_plane), Ok(backend), Ok(seconds)) =
                (control_plane.parse(), backend.parse(), seconds.parse())
            else {
                return usage();
            };
            churn::run(control_plane, service, backend, seconds).await;
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    println!("{USAGE}");
    ExitCode::from(2)
}
