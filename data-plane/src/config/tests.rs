//! Flags as people write them, and what is said of those that make no sense.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    config: Config,
}

fn parse(flags: &[&str]) -> Result<Config, String> {
    let all = std::iter::once("proxy").chain(flags.iter().copied());
    Program::try_parse_from(all).map(|p| p.config).map_err(|e| e.to_string())
}

#[test]
fn no_flags_and_the_default_are_the_same() {
    assert_eq!(parse(&[]), Ok(Config::default()));
}

#[test]
fn every_setting_reads_as_people_write_it() {
    let config = parse(&[
        "--control-plane=http://a:7400,http://b:7400",
        "--listen=off",
        "--advertise=edge-1.example:8080",
        "--lame-duck=250ms",
        "--drain-timeout=1m30s",
        "--access-log=/var/log/weir.json",
        "--max-memory=512MiB",
        "--max-lookup-table-memory=1GiB",
        "--max-snapshot-objects=7",
        "--max-snapshot-bytes=2GiB",
        "--snapshot-timeout=30s",
        "--max-lateness=3s",
        "--max-requests-in-flight=10000",
    ])
    .expect("valid");
    assert_eq!(config.control_plane.len(), 2);
    assert_eq!(config.listen, Listen::Off);
    assert_eq!(config.lame_duck, Duration::from_millis(250));
    assert_eq!(config.drain_timeout, Duration::from_secs(90));
    assert_eq!(config.access_log, AccessLogTarget::File("/var/log/weir.json".into()));
    assert_eq!(config.max_memory, MaxMemory::Bytes(512 << 20));
    assert_eq!(config.max_lookup_table_memory, 1 << 30);
    let bounds = Bounds { objects: 7, bytes: 2 << 30, within: Duration::from_secs(30) };
    assert_eq!(config.bounds(Some(1 << 30)), bounds);
    assert_eq!(config.max_lateness, Duration::from_secs(3));
    assert_eq!(config.max_requests_in_flight, NonZeroU32::new(10_000));
    assert_eq!(parse(&["--max-memory=off"]).map(|config| config.max_memory), Ok(MaxMemory::Off));
}

#[test]
fn a_configuration_may_need_a_quarter_of_the_memory_that_there_is() {
    let bytes = |memory| Config::default().bounds(memory).bytes;
    assert_eq!((bytes(None), bytes(Some(300 << 20)), bytes(Some(64 << 30))), (1 << 30, 75 << 20, 1 << 30));
}

#[test]
fn credentials_in_the_url_of_a_control_plane_are_shown_nowhere() {
    let config = parse(&["--control-plane=http://me:secret@a:7400"]).expect("valid");
    assert_eq!(config.control_plane, ["http://a:7400/"]);
}

#[test]
fn refusals_say_what_would_be_right() {
    for (flag, expected) in [
        ("--listen=8080", "must be IP:port, as 0.0.0.0:8080 or [::]:8080, or `off`, not \"8080\""),
        ("--lame-duck=-1s", "must be a duration as 5s, 250ms or 1m30s, not \"-1s\""),
        ("--lame-duck=soon", "must be a duration as 5s, 250ms or 1m30s, not \"soon\""),
        ("--control-plane=https://a:7400", "https is not supported by this version"),
        ("--control-plane=a", "must be a URL as http://127.0.0.1:7400"),
        ("--advertise=10.0.0.7", "must be host:port, as 10.0.0.7:8080 or [fd00::7]:8080, not \"10.0.0.7\""),
        ("--advertise=:80", "must be host:port"),
        ("--advertise=a:0", "must be host:port"),
        ("--workers=0", "number would be zero"),
        ("--max-requests-in-flight=0", "number would be zero"),
        ("--max-memory=1GB", "must be a size as 512MiB or 2GiB, `auto` or `off`, not \"1GB\""),
        ("--max-memory=0", "must be a size"),
        ("--max-lookup-table-memory=off", "must be a size as 512MiB or 2GiB, not \"off\""),
        ("--max-memory=99999999999GiB", "must be a size"),
        ("--snapshot-timeout=0s", "'--snapshot-timeout <DURATION>': must be longer than 0s, as 30s or 5m"),
        ("--snapshot-timeout=soon", "must be a duration as 5s"),
    ] {
        let text = parse(&[flag]).expect_err(flag);
        assert!(text.contains(expected), "{flag}: {text}");
    }
}
