//! The verbs of `weir`: one file each.

mod apply;
mod audit;
mod backend;
mod backup;
mod compact;
mod completions;
mod dev;
mod diff;
mod drain;
mod epoch;
mod events;
mod explain;
mod export;
mod history;
mod new_file;
mod object;
mod proxy;
mod reference;
mod rollback;
mod route;
mod run;
mod status;
mod validate;
mod wait;

use std::time::Duration;

use clap::{
    Args, Parser, Subcommand,
    builder::{StringValueParser, TypedValueParser},
};

use crate::{
    Error, Exit,
    client::Client,
    output::{Color, Format, Output},
    units,
};

/// How long a command may take, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    about = "Manage Weir, the HTTP load balancer",
    after_help = Exit::HELP,
    max_term_width = 100
)]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    global: Global,
}

/// What all commands understand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The control plane; of several, with commas between them, the first that can be reached
    #[arg(
        long,
        env = "WEIR_CONTROL_PLANE",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ',',
        // Nothing asks for credentials, and messages show it.
        value_parser = StringValueParser::new().map(|url| weir_proto::without_userinfo(&url)),
        default_value = "http://127.0.0.1:7400",
        global = true
    )]
    control_plane: Vec<String>,

    /// Who you are, for the history and the audit log [default: the user and the host, as alice@laptop]
    #[arg(long = "as", env = "WEIR_CALLER", hide_env_values = true, value_name = "NAME", global = true)]
    caller: Option<String>,

    /// How to print results
    #[arg(
        long,
        short,
        env = "WEIR_OUTPUT",
        hide_env_values = true,
        value_enum,
        default_value_t,
        global = true
    )]
    output: Format,

    /// How long the command may take in all [default: 10s; 30s with --wait; longer by what --drain says; 1m for `drain --wait`, 5m for `compact`, 10m for `backup`]
    #[arg(long, env = "WEIR_TIMEOUT", hide_env_values = true, value_name = "DURATION", value_parser = units::duration, global = true)]
    timeout: Option<Duration>,

    /// When to colour tables; never while `NO_COLOR` is set
    #[arg(long, value_enum, default_value_t, global = true)]
    color: Color,
}

impl Global {
    fn first_control_plane(&self) -> &str {
        self.control_plane.first().map_or("", String::as_str)
    }

    fn output(&self) -> Output {
        Output::new(self.output, self.color)
    }

    async fn connect(&self) -> Result<Client, Error> {
        self.connect_for(TIMEOUT).await
    }

    /// Connects for a change that may wait for the proxies.
    async fn connect_to(&self, wait: bool) -> Result<Client, Error> {
        self.connect_for(if wait { wait::WAIT } else { TIMEOUT }).await
    }

    /// Connects for a command that takes so long by default.
    async fn connect_for(&self, default: Duration) -> Result<Client, Error> {
        self.connect_within(self.timeout.unwrap_or(default)).await
    }

    /// Connects for a command that takes at most so long, whatever was said.
    async fn connect_within(&self, timeout: Duration) -> Result<Client, Error> {
        let client = Client::connect(&self.control_plane, timeout).await?;
        Ok(client.called(self.caller.as_deref()))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system in this process: control plane, proxies and sample backends
    Dev(dev::Dev),
    /// Declare what files say: all of it in one revision, or nothing
    Apply(apply::Apply),
    /// Show what `apply` would change, or what changed between two revisions
    Diff(diff::Diff),
    /// Write what is declared, as files declare it
    Export(export::Export),
    /// Check files without a control plane
    Validate(validate::Validate),
    /// Register, remove and look at backends
    #[command(subcommand)]
    Backend(backend::Backend),
    /// Let a backend finish what it has and send nothing new to it; with --wait remove it then
    Drain(drain::Drain),
    /// Look at services, declare and delete them
    #[command(subcommand)]
    Service(object::Object),
    /// Look at routes, declare and delete them; turn the implicit one on and off
    #[command(subcommand)]
    Route(route::Route),
    /// Look at listeners, declare and delete them
    #[command(subcommand)]
    Listener(object::Object),
    /// Look at the proxies
    #[command(subcommand)]
    Proxy(proxy::Proxy),
    /// Ask a proxy what it would do with a request now, and why
    Explain(explain::Explain),
    /// Show how the control plane is, or what became of a revision on each proxy
    Status(status::Status),
    /// Show the revisions: what changed, who changed it, when and why
    History(history::History),
    /// Declare again what was declared at a revision
    Rollback(rollback::Rollback),
    /// Show every change that was made or refused, and by whom
    Audit(audit::Audit),
    /// Show what happened, and with --follow what happens
    Events(events::Events),
    /// Show events as they happen
    Watch(events::Watch),
    /// Write a copy of the control plane's store, with its history
    Backup(backup::Backup),
    /// Forget old history, and give its room back to the disk
    Compact(compact::Compact),
    /// Settle which configuration is meant after a store was replaced
    #[command(subcommand)]
    Epoch(epoch::Epoch),
    /// Run a command as a leased backend: register it, send heartbeats, drain it at SIGTERM
    Run(run::Run),
    /// Print the completions for a shell
    Completions(completions::Completions),
    /// Print the version
    Version,
}

/// Runs one command to its end.
pub(crate) async fn run(program: Program) -> Result<Exit, Error> {
    use weir_proto::ObjectKind;
    let Program { command, global } = program;
    match command {
        Command::Dev(dev) => dev::run(&global, dev).await,
        Command::Apply(apply) => apply::run(&global, &apply, None).await,
        Command::Diff(diff) => diff::run(&global, &diff).await,
        Command::Export(export) => export::run(&global, &export).await,
        Command::Validate(validate) => validate::run(&global, &validate),
        Command::Backend(backend) => backend::run(&global, backend).await,
        Command::Drain(drain) => drain::run(&global, drain).await,
        Command::Service(verb) => object::run(&global, ObjectKind::Service, verb).await,
        Command::Route(verb) => route::run(&global, verb).await,
        Command::Listener(verb) => object::run(&global, ObjectKind::Listener, verb).await,
        Command::Proxy(verb) => proxy::run(&global, &verb).await,
        Command::Explain(explain) => explain::run(&global, explain).await,
        Command::Status(status) => status::run(&global, &status).await,
        Command::History(history) => history::run(&global, &history).await,
        Command::Rollback(rollback) => rollback::run(&global, rollback).await,
        Command::Audit(audit) => audit::run(&global, &audit).await,
        Command::Events(events) => events::run(&global, events).await,
        Command::Watch(watch) => events::watch(&global, watch).await,
        Command::Backup(backup) => backup::run(&global, &backup).await,
        Command::Compact(compact) => compact::run(&global, &compact).await,
        Command::Epoch(verb) => epoch::run(&global, &verb).await,
        Command::Run(run) => run::run(&global, run).await,
        Command::Completions(completions) => completions::run(&completions),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let value = serde_json::json!({ "version": version });
            global.output().show(&value, || format!("weir {version}"))?;
            Ok(Exit::Ok)
        }
    }
}

#[cfg(test)]
mod hints;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn credentials_in_the_url_of_the_control_plane_are_shown_nowhere() {
        let program = ["weir", "status", "--control-plane", "http://me:secret@a:7400"];
        let program = clap::Parser::try_parse_from(program);
        let Ok(Program { global, .. }) = program else { panic!("{program:?}") };
        assert_eq!(global.control_plane, ["http://a:7400"]);
    }

    #[test]
    fn help_is_a_verb_too() {
        for asked in
            [&["weir", "help"][..], &["weir", "help", "drain"], &["weir", "help", "backend", "register"]]
        {
            let told = Program::try_parse_from(asked).expect_err("help");
            assert_eq!(told.kind(), clap::error::ErrorKind::DisplayHelp, "{asked:?}");
        }
        let told =
            Program::try_parse_from(["weir", "backend", "help", "register"]).expect_err("help").to_string();
        assert!(told.contains("Usage: weir backend register"), "{told}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }
}
