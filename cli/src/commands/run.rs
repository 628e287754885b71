//! `weir run`: a command as a leased backend.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::{net::UdpSocket, pin, sync::watch, time::timeout};

use crate::{
    Error, Exit,
    agent::{self, Agent, Child, State, Wish},
    commands::{
        Global,
        backend::{Traits, invalid},
    },
    output,
    signals::Signals,
    units,
};

/// What to run, and as what.
#[derive(Debug, Args)]
#[command(after_help = "\
The command is registered once its port accepts connections, and runs on while the control plane is away. At SIGTERM, \
    SIGINT or SIGHUP the backend is drained and removed first, then the command and what it started get SIGTERM. A \
    second signal cuts the drain short, a third one kills the command.

Other signals are the command's: SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH and the like go to it alone. Ctrl-Z stops \
    it together with `weir run`; its lease lapses unless both go on within --ttl. It has a process group of its own, in \
    the background of the terminal, and reads nothing from there. It never outlives `weir run`: whatever ends that, even \
    SIGKILL, the kernel kills the command; what the command started itself is the command's to end. As process 1 of a \
    container `weir run` also reaps orphans, so that no other init is needed.")]
pub(super) struct Run {
    /// The service that the command serves
    #[arg(long, env = "WEIR_SERVICE", hide_env_values = true)]
    service: String,
    /// The port that it listens on
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The address that proxies reach it at [default: that of this machine towards the control plane]
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Its name within the service [default: the address and port]
    #[arg(long, default_value = "", hide_default_value = true)]
    id: String,
    #[command(flatten)]
    traits: Traits,
    /// How long the registration lasts without a heartbeat
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "15s")]
    ttl: Duration,
    /// How long it may finish what it has, before it is stopped
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "30s")]
    drain: Duration,
    /// How long it may take from SIGTERM to its end, before it is killed
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "10s")]
    grace: Duration,
    /// What has to succeed before it is registered
    #[arg(long, value_enum, default_value_t)]
    check: Check,
    /// How long that may take
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "60s")]
    check_timeout: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, num_args = 1.., value_name = "CMD")]
    command: Vec<OsString>,
}

/// When a command is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Check {
    /// Its port accepts a connection
    #[default]
    Tcp,
    /// At once
    None,
}

pub(super) async fn run(global: &Global, run: Run) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    let ip = match run.address {
        Some(ip) => ip,
        None => own_address(global.first_control_plane()).await?,
    };
    let address = SocketAddr::new(ip, run.port);
    let terms = weir_proto::v1::LeaseTerms {
        ttl: Some(weir_proto::duration_to_wire(run.ttl)),
        deregister_after: None,
    };
    weir_proto::LeaseTerms::try_from(terms).map_err(invalid)?;
    let backend = run.traits.backend(run.service, address.to_string(), run.id)?;
    let agent = Agent::new(&global.control_plane, backend, run.ttl, host_name())?;
    let mut child = Child::spawn(&run.command)?;

    if run.check == Check::Tcp {
        tokio::select! {
            code = child.wait() => return Ok(Exit::Child(code?)),
            () = signals.next() => return Ok(Exit::Child(child.stop(run.grace, &mut signals).await?)),
            ready = timeout(run.check_timeout, agent::accepts(address)) => if ready.is_err() {
                child.stop(run.grace, &mut signals).await?;
                return Err(Error::Timeout(format!(
                    "nothing accepts connections at {address} after {:?}, so the command was stopped; does it \
                     listen on --port {}? raise --check-timeout if it needs longer",
                    run.check_timeout, run.port
                )));
            }
        }
    }
    let drain = (!run.drain.is_zero()).then_some(run.drain);
    match attend(&agent, &mut child, &mut signals, drain).await? {
        Some(code) => Ok(Exit::Child(code)),
        None => Ok(Exit::Child(child.stop(run.grace, &mut signals).await?)),
    }
}

/// From the registration to the deregistration. The child's exit code if it ended by itself.
async fn attend(
    agent: &Agent,
    child: &mut Child,
    signals: &mut Signals,
    drain: Option<Duration>,
) -> Result<Option<u8>, Error> {
    let (wish, wishes) = watch::channel(Wish::Stay);
    let (state, mut states) = watch::channel(State::Starting);
    let attending = agent.attend(wishes, &state);
    pin!(attending);
    let mut code = None;
    let left = loop {
        tokio::select! {
            left = &mut attending => break left,
            ended = child.wait(), if code.is_none() => {
                code = Some(ended?);
                wish.send_replace(Wish::Leave { drain: None });
            }
            () = signals.next() => {
                let first = *wish.borrow() == Wish::Stay;
                wish.send_replace(Wish::Leave { drain: drain.filter(|_| first) });
            }
            Ok(()) = states.changed() => say(&states.borrow_and_update()),
        }
    };
    match left {
        Some(Err(reason)) => {
            output::note(&format!("not deregistered ({reason}); the lease expires by itself"));
        }
        Some(Ok(answer)) if answer.in_flight > 0 => {
            output::note(&format!("{} requests were still in flight after the drain", answer.in_flight));
        }
        Some(Ok(_)) => output::note("deregistered"),
        None => {}
    }
    Ok(code)
}

fn say(state: &State) {
    match state {
        State::Starting => {}
        State::Registered { revision } => output::note(&format!("registered in revision {revision}")),
        State::Withdrawn => output::note(
            "an operator drained the backend and removed it; the command runs on, start it again to have it \
             registered again",
        ),
        State::Away { reason } => output::note(&format!("{reason}; the command runs on, trying again")),
    }
}

/// The address that packets to the control plane have: nothing is sent to find out.
async fn own_address(control_plane: &str) -> Result<IpAddr, Error> {
    let unknown = |reason: &std::io::Error| {
        let reason = crate::error::reason(reason);
        Error::Usage(format!(
            "cannot tell which address reaches {control_plane} ({reason}); give this machine's with --address"
        ))
    };
    let uri: tonic::transport::Uri = control_plane
        .parse()
        .map_err(|_| Error::Usage(format!("--control-plane {control_plane} is not a URL")))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let mut found =
        tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80))).await.map_err(|e| unknown(&e))?;
    let Some(target) = found.next() else {
        return Err(unknown(&std::io::ErrorKind::NotFound.into()));
    };
    let any: SocketAddr = if target.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(|e| unknown(&e))?;
    socket.connect(target).await.map_err(|e| unknown(&e))?;
    Ok(socket.local_addr().map_err(|e| unknown(&e))?.ip())
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.chars().filter(char::is_ascii_graphic).take(253).collect()
}
