//! What an operator may set, and what it is when nobody did.

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    ffi::OsStr,
    fmt,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Arg, Args, Command, builder::TypedValueParser};
use http::Uri;
use weir_proto::{DEFAULT_LOOKUP_TABLE_MEMORY, renamed};

use crate::discovery::Bounds;

/// The settings of one proxy. Each has a flag, an environment variable and a default.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Config {
    /// Control planes to learn the configuration from, tried in turn
    #[arg(
        long,
        env = "WEIR_CONTROL_PLANE",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ',',
        value_parser = WithoutCredentials,
        default_value = DEFAULT_CONTROL_PLANE
    )]
    pub control_plane: Vec<Uri>,

    /// Where to accept traffic while no listener is configured: IP:port, or `off`
    #[arg(long, env = "WEIR_PROXY_LISTEN", value_name = "ADDRESS", default_value = renamed("WEIR_LISTEN", "0.0.0.0:8080"))]
    pub listen: Listen,

    /// Where to answer /livez, /readyz, /metrics and /config
    #[arg(long, env = "WEIR_PROXY_ADMIN", value_name = "ADDRESS", default_value = renamed("WEIR_ADMIN", "127.0.0.1:9901"))]
    pub admin: SocketAddr,

    /// Directory for the proxy's identity and the last good copy of its configuration; without it a restarted proxy
    /// serves nothing until it reaches a control plane
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// This proxy's name, which no other proxy has that a request may pass: `Via` carries a hash of it, to notice loops
    /// [default: kept in the data directory, else made of the host's name]
    #[arg(long, env = "WEIR_ID", value_name = "ID")]
    pub id: Option<String>,

    /// The zone that this proxy runs in
    #[arg(long, env = "WEIR_ZONE", value_name = "ZONE", default_value = "", hide_default_value = true)]
    pub zone: String,

    /// Where clients reach this proxy, for those who ask the control plane or its DNS. DNS takes IP:port only; 0.0.0.0:port
    /// stands for the address that this proxy's connections to the control plane come from, which counts without this setting,
    /// too. The port of --listen stands for those of the sockets that are open; any other one is told as it is, because
    /// somebody maps it
    #[arg(
        long,
        env = "WEIR_ADVERTISE",
        value_name = "HOST:PORT",
        value_parser = advertise,
        default_value = "",
        hide_default_value = true
    )]
    pub advertise: String,

    /// Threads that serve traffic [default: one for each core]
    #[arg(long, env = "WEIR_WORKERS", value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// How long to go on accepting after SIGTERM, while readiness already fails
    #[arg(long, env = "WEIR_LAME_DUCK", value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub lame_duck: Duration,

    /// How long requests in flight may take to finish after that
    #[arg(long, env = "WEIR_DRAIN_TIMEOUT", value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub drain_timeout: Duration,

    /// One JSON line for each request: `off`, `stdout` or a file
    #[arg(long, env = "WEIR_ACCESS_LOG", value_name = "TARGET", default_value = "off")]
    pub access_log: AccessLogTarget,

    /// Memory that the proxy may use, as 512MiB; from 90 % on it refuses some requests, from 98 % on all. `auto`: what its
    /// container may use, if that is limited; a smaller limit of the container counts in any case. `off`: never refuse
    #[arg(long, env = "WEIR_MAX_MEMORY", value_name = "SIZE", default_value = "auto")]
    pub max_memory: MaxMemory,

    /// Memory that rings, Maglev's tables and the keys of rate limits may take in all, as 512MiB; a service or route whose
    /// tables do not fit is refused and keeps its previous form
    #[arg(
        long,
        env = "WEIR_MAX_LOOKUP_TABLE_MEMORY",
        value_name = "SIZE",
        value_parser = table_memory,
        default_value = "256MiB"
    )]
    pub max_lookup_table_memory: u64,

    /// Objects that a configuration may have: one with more is not taken, and what is in force serves on
    #[arg(
        long,
        env = "WEIR_MAX_SNAPSHOT_OBJECTS",
        value_name = "N",
        default_value_t = Config::default().max_snapshot_objects
    )]
    pub max_snapshot_objects: NonZeroU64,

    /// Memory that a configuration may need as it is received, as 512MiB: one that needs more is not taken
    /// [default: 1GiB; a quarter of --max-memory if that is less]
    #[arg(long, env = "WEIR_MAX_SNAPSHOT_BYTES", value_name = "SIZE", value_parser = table_memory)]
    pub max_snapshot_bytes: Option<u64>,

    /// How long a whole configuration may take from its first page to its last one, and to begin where the proxy has none
    #[arg(long, env = "WEIR_SNAPSHOT_TIMEOUT", value_name = "DURATION", value_parser = some_time, default_value = "5m")]
    pub snapshot_timeout: Duration,

    /// How late a thread may be with what it has to do; from a tenth of that on it refuses some requests, beyond it all.
    /// `0s`: never refuse
    #[arg(long, env = "WEIR_MAX_LATENESS", value_name = "DURATION", value_parser = duration, default_value = "1s")]
    pub max_lateness: Duration,

    /// Requests that may be in flight at one time, over all listeners and services; more are refused with 503
    /// [default: no limit]
    #[arg(long, env = "WEIR_MAX_REQUESTS_IN_FLIGHT", value_name = "N")]
    pub max_requests_in_flight: Option<NonZeroU32>,
}

const DEFAULT_CONTROL_PLANE: &str = "http://127.0.0.1:7400";
/// Forty times as many as a large fleet has.
const MAX_SNAPSHOT_OBJECTS: u64 = 4_000_000;
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;
/// Of the memory that the proxy may use, the part that one configuration may need, beside the one that is in force.
const SNAPSHOT_SHARE: u64 = 4;

impl Default for Config {
    fn default() -> Self {
        Self {
            control_plane: vec![Uri::from_static(DEFAULT_CONTROL_PLANE)],
            listen: Listen::Address(SocketAddr::from(([0, 0, 0, 0], 8080))),
            admin: SocketAddr::from(([127, 0, 0, 1], 9901)),
            data_dir: None,
            id: None,
            zone: String::new(),
            advertise: String::new(),
            workers: None,
            lame_duck: Duration::from_secs(10),
            drain_timeout: Duration::from_mins(1),
            access_log: AccessLogTarget::Off,
            max_memory: MaxMemory::Auto,
            max_lookup_table_memory: DEFAULT_LOOKUP_TABLE_MEMORY,
            max_snapshot_objects: NonZeroU64::new(MAX_SNAPSHOT_OBJECTS).unwrap_or(NonZeroU64::MAX),
            max_snapshot_bytes: None,
            snapshot_timeout: Duration::from_mins(5),
            max_lateness: Duration::from_secs(1),
            max_requests_in_flight: None,
        }
    }
}

impl Config {
    /// What the proxy takes of a control plane, if it may use that much memory.
    pub(crate) fn bounds(&self, memory: Option<u64>) -> Bounds {
        let usual = memory.map_or(MAX_SNAPSHOT_BYTES, |most| MAX_SNAPSHOT_BYTES.min(most / SNAPSHOT_SHARE));
        Bounds {
            objects: self.max_snapshot_objects.get(),
            bytes: self.max_snapshot_bytes.unwrap_or(usual),
            within: self.snapshot_timeout,
        }
    }

    /// How many workers to start.
    pub(crate) fn worker_count(&self) -> usize {
        self.workers.map_or_else(
            || std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            NonZeroUsize::get,
        )
    }
}

/// Where traffic is accepted while no listener is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Here. Port 0 lets the system choose.
    Address(SocketAddr),
    /// Nowhere: the proxy has no traffic socket until the control plane gives it one.
    Off,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::Address)
            .map_err(|_| format!("must be IP:port, as 0.0.0.0:8080 or [::]:8080, or `off`, not {text:?}"))
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

impl FromStr for AccessLogTarget {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for AccessLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How much memory the proxy may use before it refuses requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxMemory {
    /// As much as its container.
    Auto,
    /// So many bytes, and no more than its container.
    Bytes(u64),
    /// As much as there is.
    Off,
}

impl FromStr for MaxMemory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            size => memory_size(size)
                .map(Self::Bytes)
                .ok_or_else(|| format!("must be a size as 512MiB or 2GiB, `auto` or `off`, not {text:?}")),
        }
    }
}

/// In binary units, because half of their readers mean those when they read the decimal ones. Never 0.
fn memory_size(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    let number = digits.trim_end().parse::<u64>().ok().filter(|number| *number > 0)?;
    number.checked_mul(factor)
}

/// Takes the URL of a control plane without credentials: nothing asks for them, and URLs are shown, those that are refused
/// as well.
#[derive(Debug, Clone)]
struct WithoutCredentials;

impl TypedValueParser for WithoutCredentials {
    type Value = Uri;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Uri, clap::Error> {
        let text = weir_proto::without_userinfo(&value.to_string_lossy());
        let parser: fn(&str) -> Result<Uri, String> = control_plane;
        parser.parse_ref(command, arg, OsStr::new(&text))
    }
}

fn table_memory(text: &str) -> Result<u64, String> {
    memory_size(text).ok_or_else(|| format!("must be a size as 512MiB or 2GiB, not {text:?}"))
}

/// Takes `http://host:port`; TLS towards the control plane is not part of this version.
fn control_plane(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|e| format!("must be a URL as {DEFAULT_CONTROL_PLANE}: {e}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(_)) => Ok(uri),
        (Some("https"), _) => Err("https is not supported by this version; write http://".to_owned()),
        _ => Err(format!("must be a URL as {DEFAULT_CONTROL_PLANE}, not {text:?}")),
    }
}

/// Takes `host:port`, or nothing.
fn advertise(text: &str) -> Result<String, String> {
    let is_complete = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<NonZeroU16>().is_ok();
    if text.is_empty() || text.rsplit_once(':').is_some_and(is_complete) {
        return Ok(text.to_owned());
    }
    Err(format!("must be host:port, as 10.0.0.7:8080 or [fd00::7]:8080, not {text:?}"))
}

/// Takes a duration in which something can happen.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() { Err("must be longer than 0s, as 30s or 5m".to_owned()) } else { Ok(time) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("must be a duration as 5s, 250ms or 1m30s, not {text:?}");
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(parsed).map_err(|_| wrong())
}
