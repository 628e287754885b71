//! The settings of the control plane: flags, environment variables, or plain fields for a program that embeds it.

mod leases;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{Dns, DnsDomain, Error, journal::Retention, store::Url};

pub use leases::LeaseConfig;

/// How many proxies are sent the whole configuration at one time, by default.
pub(crate) const RESYNCS_AT_ONCE: u16 = 8;

/// What a control plane is started with.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where backends, proxies and operators reach the control plane (gRPC). Port 0 takes a free one
    #[arg(
        long,
        env = "WEIR_CONTROL_PLANE_LISTEN",
        value_name = "IP:PORT",
        default_value = weir_proto::renamed("WEIR_LISTEN", "127.0.0.1:7400")
    )]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are answered (HTTP). Port 0 takes a free one
    #[arg(
        long,
        env = "WEIR_CONTROL_PLANE_ADMIN",
        value_name = "IP:PORT",
        default_value = weir_proto::renamed("WEIR_ADMIN", "127.0.0.1:7401")
    )]
    pub admin: SocketAddr,

    /// Where DNS is answered, over UDP and TCP: IP:port, or `off`. Port 0 takes a free one
    #[arg(long, env = "WEIR_DNS", value_name = "ADDRESS", default_value_t = Config::default().dns)]
    pub dns: Dns,

    /// The domain of which DNS knows everything: NAME.svc.DOMAIN is a service, proxies.DOMAIN are the proxies
    #[arg(long, env = "WEIR_DNS_DOMAIN", value_name = "DOMAIN", default_value_t)]
    pub dns_domain: DnsDomain,

    /// How long DNS answers may be kept, in whole seconds up to 1 h. A proxy goes on accepting for longer than this when it
    /// stops (its --lame-duck)
    #[arg(long, env = "WEIR_DNS_TTL", value_name = "DURATION", value_parser = dns_ttl, default_value = "5s")]
    pub dns_ttl: Duration,

    /// Keep everything in DIR/weir.db; the directory is made if it is missing
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Keep everything in another store: sqlite:PATH, or memory, which forgets at the end of the process
    #[arg(long, env = "WEIR_STORE", value_name = "STORE")]
    pub store: Option<String>,

    /// Start although acknowledged revisions from REVISION on are missing from the store. The start that is refused for it
    /// names REVISION; if anything else is missing than that, it is refused again. The store begins a new epoch, so that
    /// proxies do not lose backends unasked
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    pub accept_loss_from: Option<u64>,

    /// Serve without TLS on an address that other machines reach. Whoever reaches it can then change everything
    #[arg(long, env = "WEIR_INSECURE")]
    pub insecure: bool,

    /// Accept backends on loopback addresses [default: only while --listen is one]
    #[arg(
        long,
        env = "WEIR_ALLOW_LOOPBACK_BACKENDS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub allow_loopback_backends: Option<bool>,

    /// How leases expire
    #[command(flatten)]
    pub leases: LeaseConfig,
    /// How many revisions made by operators `weir history`, `diff` and `rollback` reach back; as many of agents and
    /// leases are listed
    #[arg(
        long,
        env = "WEIR_HISTORY_REVISIONS",
        value_name = "COUNT",
        default_value_t = Config::default().history_revisions
    )]
    pub history_revisions: u32,

    /// How many changes and refusals `weir audit` reaches back
    #[arg(
        long,
        env = "WEIR_AUDIT_RECORDS",
        value_name = "COUNT",
        default_value_t = Config::default().audit_records
    )]
    pub audit_records: u32,

    /// How many proxies are sent the whole configuration at one time; what changed is sent to all of them at once
    #[arg(
        long,
        env = "WEIR_RESYNCS_AT_ONCE",
        value_name = "COUNT",
        value_parser = clap::value_parser!(u16).range(1..),
        default_value_t = Config::default().resyncs_at_once
    )]
    pub resyncs_at_once: u16,

    /// What to log: a level, or levels by module, as `info,weir_control_plane=debug`; of libraries their errors, and more
    /// where they are named
    #[arg(long, env = "WEIR_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How to write the log, which goes to standard error
    #[arg(long, env = "WEIR_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    /// The settings of a control plane without flags. It names no store, so it does not start as it is.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7401)),
            dns: Dns::Address(SocketAddr::from(([127, 0, 0, 1], 7453))),
            dns_domain: DnsDomain::default(),
            dns_ttl: Duration::from_secs(5),
            data_dir: None,
            store: None,
            accept_loss_from: None,
            insecure: false,
            allow_loopback_backends: None,
            leases: LeaseConfig::default(),
            history_revisions: Retention::default().revisions,
            audit_records: Retention::default().audit,
            resyncs_at_once: RESYNCS_AT_ONCE,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Where the state is kept, as `store::open` understands it.
    pub(crate) fn store_url(&self) -> Result<String, Error> {
        match (&self.data_dir, &self.store) {
            (Some(dir), None) => Ok(format!("sqlite:{}", dir.join("weir.db").display())),
            (None, Some(url)) => Ok(url.clone()),
            (None, None) => usage(
                "say where to keep the state: --data-dir DIR, or --store memory to forget it at the end",
            ),
            (Some(_), Some(_)) => usage("--data-dir and --store exclude each other; give one of them"),
        }
    }

    /// Refuses what would be a mistake.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let url = self.store_url()?;
        if Url::parse(&url)? == Url::Memory && self.accept_loss_from.is_some() {
            return usage("--accept-loss-from is for a store on a disk; leave it out");
        }
        self.leases.check()?;
        if self.listen.ip().is_loopback() || self.insecure {
            return Ok(());
        }
        usage(format_args!(
            "--listen {} is reachable from other machines, and there is no TLS: anybody there could change \
             everything; listen on a loopback address, or give --insecure if the network is trusted",
            self.listen
        ))
    }

    /// How much of what was is remembered.
    pub(crate) fn retention(&self) -> Retention {
        // The numbers of audit records go on from the newest one, so that stays.
        Retention { revisions: self.history_revisions, audit: self.audit_records.max(1) }
    }

    /// Whether backends may have loopback addresses.
    pub(crate) fn loopback_backends(&self) -> bool {
        self.allow_loopback_backends.unwrap_or_else(|| self.listen.ip().is_loopback())
    }
}

fn dns_ttl(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed
        .filter(|ttl| ttl.subsec_nanos() == 0 && *ttl <= Duration::from_hours(1))
        .ok_or_else(|| format!("must be whole seconds, 0s to 1h, as 5s or 1m30s, not {text:?}"))
}

fn usage<T>(text: impl fmt::Display) -> Result<T, Error> {
    Err(Error::Config(text.to_string()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        config: Config,
    }

    fn parse(args: &[&str]) -> Config {
        Command::try_parse_from([&["weir-control-plane"], args].concat()).expect("valid flags").config
    }

    fn refusal(args: &[&str]) -> String {
        parse(args).check().expect_err("must be refused").to_string()
    }

    #[test]
    fn exactly_one_store() {
        let url = |args: &[&str]| parse(args).store_url().ok();
        assert_eq!(url(&["--data-dir", "/var/lib/weir"]).as_deref(), Some("sqlite:/var/lib/weir/weir.db"));
        assert_eq!(url(&["--store", "memory"]).as_deref(), Some("memory"));
        assert!(refusal(&[]).contains("--data-dir DIR"), "{}", refusal(&[]));
        assert!(refusal(&["--data-dir", "x", "--store", "memory"]).contains("exclude each other"));
    }

    #[test]
    fn a_store_that_is_none_is_refused_before_anything_listens() {
        for url in ["etcd://127.0.0.1:2379", "sqlite:", "nothing"] {
            assert!(refusal(&["--store", url]).contains("must be sqlite:PATH or memory"), "{url}");
        }
        let refusal = refusal(&["--store", "etcd://me:secret@db/weir"]);
        assert!(!refusal.contains("secret"), "{refusal}");
    }

    #[test]
    fn a_loss_can_be_accepted_only_where_something_can_be_lost() {
        assert!(refusal(&["--store", "memory", "--accept-loss-from", "3"]).contains("leave it out"));
        assert!(parse(&["--data-dir", "x", "--accept-loss-from", "3"]).check().is_ok());
        assert!(Command::try_parse_from(["weir-control-plane", "--accept-loss-from", "0"]).is_err());
    }

    #[test]
    fn another_machine_needs_an_explicit_word() {
        let open = ["--store", "memory", "--listen", "0.0.0.0:7400"];
        assert!(refusal(&open).contains("--insecure"));
        assert!(parse(&[&open[..], &["--insecure"]].concat()).check().is_ok());
        assert!(parse(&["--store", "memory", "--listen", "[::1]:7400"]).check().is_ok());
    }

    #[test]
    fn loopback_backends_follow_the_listener() {
        let loopback = |args: &[&str]| parse(args).loopback_backends();
        assert!(loopback(&[]));
        assert!(!loopback(&["--listen", "10.0.0.5:7400"]));
        assert!(loopback(&["--listen", "10.0.0.5:7400", "--allow-loopback-backends"]));
        assert!(!loopback(&["--allow-loopback-backends=false"]));
    }

    #[test]
    fn flags_and_fields_have_the_same_defaults() {
        let (flags, fields) = (parse(&[]), Config::default());
        assert_eq!(format!("{flags:?}"), format!("{fields:?}"));
    }

    #[test]
    fn dns_has_an_address_or_is_off() {
        assert_eq!(parse(&["--dns", "off"]).dns, Dns::Off);
        assert_eq!(
            parse(&["--dns", "[::1]:53"]).dns,
            Dns::Address(SocketAddr::from((Ipv6Addr::LOCALHOST, 53)))
        );
        assert_eq!(parse(&["--dns-ttl", "1m30s"]).dns_ttl, Duration::from_secs(90));
        for wrong in ["--dns=53", "--dns-ttl=1500ms", "--dns-ttl=2h", "--dns-ttl=-1s", "--dns-domain=a..b"] {
            assert!(Command::try_parse_from(["weir-control-plane", wrong]).is_err(), "{wrong}");
        }
    }
}
