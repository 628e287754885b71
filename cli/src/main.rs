//! `weir`: everything that an operator does, and a development mode that runs the whole system in one process.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weir_cli::run(std::env::args_os()).into()
}
