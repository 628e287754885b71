//! `weir watch`: events as they happen.

use clap::Args;
use serde_json::json;
use weir_proto::v1;

use crate::{
    Error, Exit,
    commands::Global,
    output::{self, Output},
    signals::Signals,
};

/// From where on.
#[derive(Debug, Args)]
#[command(after_help = "--timeout bounds the connecting only. Ctrl-C ends it with exit code 0.")]
pub(super) struct Watch {
    /// How many past events to show first
    #[arg(long, value_name = "N", default_value_t = 0)]
    past: u32,
}

pub(super) async fn run(global: &Global, watch: &Watch) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    let client = global.connect().await?;
    let mut admin = client.admin();
    let mut events = client
        .call(admin.watch_events(v1::WatchEventsRequest { past: watch.past, ..Default::default() }))
        .await?;
    let output = global.output();
    loop {
        let next = tokio::select! {
            () = signals.next() => return Ok(Exit::Ok),
            next = events.message() => next,
        };
        match next {
            Ok(Some(event)) => show(output, &event)?,
            Ok(None) => return Err(ended(client.url())),
            Err(status) => return Err(client.failure(&status)),
        }
    }
}

fn ended(url: &str) -> Error {
    Error::Unavailable { url: url.to_owned(), reason: "it ended the stream; try again".to_owned() }
}

fn show(output: Output, event: &v1::Event) -> Result<(), Error> {
    let time = output::timestamp(event.time.as_ref()).unwrap_or_default();
    let kind = output::word(event.r#type().as_str_name(), "EVENT_TYPE_");
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
        let what = match (&object, event.proxy_id.as_str()) {
            (Some(object), "") => object.clone(),
            (Some(object), proxy) => format!("{object} proxy {proxy}"),
            (None, "") => String::new(),
            (None, proxy) => format!("proxy {proxy}"),
        };
        format!("{time}  r{:<6} {kind:<22} {what:<32} {}", event.revision, event.message)
    })
}
