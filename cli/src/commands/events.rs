//! `weir events` and `weir watch`: what happened, and what happens.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use weir_proto::v1::{self, EventType};

use crate::{
    Error, Exit,
    commands::{Global, reference},
    output::{self, Output},
    signals::Signals,
    units,
};

/// Past events that are shown by default, unless they are followed by what happens.
const PAST: u32 = 100;

/// Which events.
#[derive(Debug, Args)]
#[command(after_help = "\
The control plane remembers 10,000 events since its start. While events are followed --timeout bounds the connecting \
    only, and Ctrl-C ends it with exit code 0.")]
pub(super) struct Events {
    #[command(flatten)]
    shown: Shown,
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
}

/// The same of `watch`, which always goes on.
#[derive(Debug, Args)]
#[command(
    after_help = "The same as `weir events --follow`. --timeout bounds the connecting only. Ctrl-C ends it with \
    exit code 0."
)]
pub(super) struct Watch {
    #[command(flatten)]
    shown: Shown,
}

/// What is shown.
#[derive(Debug, Args)]
struct Shown {
    /// How many past events to show first, the newest ones [default: 100; 0 if they are followed, or with --since]
    #[arg(long, value_name = "N")]
    past: Option<u32>,
    /// Show first what happened since then: 10m ago, or at a time as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "DURATION|TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only events of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
    types: Vec<EventType>,
    /// Only events of this object, as service/web
    #[arg(value_name = "KIND/NAME", value_parser = reference::parse)]
    object: Option<v1::ObjectRef>,
}

pub(super) async fn run(global: &Global, events: Events) -> Result<Exit, Error> {
    show_all(global, events.shown, events.follow).await
}

pub(super) async fn watch(global: &Global, watch: Watch) -> Result<Exit, Error> {
    show_all(global, watch.shown, true).await
}

async fn show_all(global: &Global, shown: Shown, follow: bool) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    let client = global.connect().await?;
    let mut admin = client.admin();
    let past = if follow || shown.since.is_some() { 0 } else { PAST };
    let request = v1::WatchEventsRequest {
        past: shown.past.unwrap_or(past),
        since: shown.since.map(wire),
        once: !follow,
    };
    let mut events = client.call(admin.watch_events(request)).await?;
    let output = global.output();
    let mut none = true;
    loop {
        let next = async {
            if follow {
                events.message().await.map_err(|status| client.failure(&status))
            } else {
                client.next(&mut events).await
            }
        };
        let next = tokio::select! {
            () = signals.next() => return Ok(Exit::Ok),
            next = next => next?,
        };
        match next {
            Some(event) if shown.takes(&event) => {
                none = false;
                show(output, &event)?;
            }
            Some(_) => {}
            None if follow => return Err(ended(client.url())),
            None => {
                if none && output.for_people() {
                    output::note("no such event is remembered");
                }
                return Ok(Exit::Ok);
            }
        }
    }
}

impl Shown {
    /// What is missing is told whatever was asked for.
    fn takes(&self, event: &v1::Event) -> bool {
        let kind = event.r#type();
        kind == EventType::EventsMissed
            || ((self.types.is_empty() || self.types.contains(&kind))
                && self.object.as_ref().is_none_or(|object| event.object.as_ref() == Some(object)))
    }
}

fn ended(url: &str) -> Error {
    Error::Unavailable { url: url.to_owned(), reason: "it ended the stream; try again".to_owned() }
}

fn show(output: Output, event: &v1::Event) -> Result<(), Error> {
    let time = output::timestamp(event.time.as_ref()).unwrap_or_default();
    let kind = name(event.r#type());
    let object = event.object.as_ref().map(output::reference);
    let value = json!({
        "sequence": event.sequence,
        "time": time,
        "type": kind,
        "revision": event.revision,
        "object": object,
        "proxy": (!event.proxy_id.is_empty()).then_some(&event.proxy_id),
        "message": event.message,
    });
    output.show_next(&value, || {
        let proxy = (!event.proxy_id.is_empty()).then(|| format!("proxy {}", event.proxy_id));
        // Most messages name what they are about.
        let what =
            [&object, &proxy].into_iter().flatten().filter(|what| !event.message.contains(what.as_str()));
        let what = what.map(|what| format!("{what}: ")).collect::<Vec<_>>().concat();
        format!("{time}  r{:<5} {kind:<22} {what}{}", event.revision, event.message)
    })
}

fn name(kind: EventType) -> String {
    output::word(kind.as_str_name(), "EVENT_TYPE_")
}

/// `lease_expired`, also as `lease-expired`.
fn event_type(text: &str) -> Result<EventType, String> {
    let wanted = text.to_ascii_lowercase().replace('-', "_");
    // The numbers have no gaps: see `the_types_have_no_gaps`.
    let known = || (1..).map_while(|number| EventType::try_from(number).ok());
    known().find(|kind| name(*kind) == wanted).ok_or_else(|| {
        let words: Vec<_> = known().map(name).collect();
        format!("must be one of {}", words.join(", "))
    })
}

fn since(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("must be a duration as 10m, or a time as 2026-11-20T10:00:00Z, not {text:?}");
    match units::duration(text) {
        Ok(ago) => earlier(Timestamp::now(), ago).ok_or_else(wrong),
        Err(_) => text.parse().map_err(|_| wrong()),
    }
}

fn earlier(now: Timestamp, ago: Duration) -> Option<Timestamp> {
    now.checked_sub(jiff::SignedDuration::try_from(ago).ok()?).ok()
}

fn wire(time: Timestamp) -> prost_types::Timestamp {
    // Before 1970 both parts are negative; nothing happened then.
    let time = time.max(Timestamp::UNIX_EPOCH);
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_so_long_ago() {
        assert_eq!(since("1970-01-01T00:01:00Z").map(|t| wire(t).seconds), Ok(60));
        let now = Timestamp::from_second(1_000).expect("a time");
        assert_eq!(earlier(now, Duration::from_mins(10)).map(Timestamp::as_second), Some(400));
        assert!(since("10m").is_ok());
        assert!(since("yesterday").expect_err("refused").starts_with("must be a duration as 10m"));
    }

    #[test]
    fn types_are_written_as_they_are_shown() {
        assert_eq!(event_type("lease_expired"), Ok(EventType::LeaseExpired));
        assert_eq!(event_type("Lease-Expired"), Ok(EventType::LeaseExpired));
        let text = event_type("lease").expect_err("refused");
        assert!(text.starts_with("must be one of object_created, ") && text.contains(", drain, "), "{text}");
    }

    #[test]
    fn the_types_have_no_gaps() {
        assert!((1..100).filter_map(|n| EventType::try_from(n).ok()).count() >= 18);
        let last = (1..).map_while(|n| EventType::try_from(n).ok()).last();
        assert_eq!(last, (1..100).rev().find_map(|n| EventType::try_from(n).ok()));
    }

    #[test]
    fn what_is_missing_is_told_whatever_was_asked_for() {
        let shown = Shown {
            past: None,
            since: None,
            types: vec![EventType::Drain],
            object: Some(reference::parse("backend/web/a").expect("a reference")),
        };
        let event = |kind: EventType, object: Option<&str>| v1::Event {
            r#type: kind as i32,
            object: object.map(|o| reference::parse(o).expect("a reference")),
            ..Default::default()
        };
        assert!(shown.takes(&event(EventType::Drain, Some("backend/web/a"))));
        assert!(!shown.takes(&event(EventType::Drain, Some("backend/web/b"))));
        assert!(!shown.takes(&event(EventType::LeaseExpired, Some("backend/web/a"))));
        assert!(shown.takes(&event(EventType::EventsMissed, None)));
    }
}
