//! `weir completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{Error, Exit, commands::Program, output};

/// For which shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell; for bash: `weir completions bash > /etc/bash_completion.d/weir`
    shell: Shell,
}

pub(super) fn run(completions: &Completions) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Program::command(), "weir", &mut script);
    output::bytes(&script)?;
    Ok(Exit::Ok)
}
