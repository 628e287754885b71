//! Waiting until every connected proxy serves a revision.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use weir_proto::v1;

use crate::{
    Error,
    client::Client,
    output::{self, Output, State, Table},
};

/// How often the proxies are asked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How far the proxies are.
pub(super) struct Outcome {
    revision: u64,
    proxies: Vec<v1::ProxyInfo>,
}

/// Waits, prints who has got how far, and fails if somebody refused something or is late.
pub(super) async fn for_revision(client: &Client, output: Output, revision: u64) -> Result<(), Error> {
    let outcome = outcome(client, revision).await?;
    output.show_table(&outcome.json(), || outcome.table())?;
    outcome.verdict(client.timeout())
}

/// Waits until all connected proxies have acknowledged `revision` or the time is up.
pub(super) async fn outcome(client: &Client, revision: u64) -> Result<Outcome, Error> {
    let mut admin = client.admin();
    loop {
        let response = client.call(admin.list_proxies(v1::ListProxiesRequest {})).await?;
        let epoch = response.epoch;
        let proxies: Vec<_> = response.proxies.into_iter().filter(|p| p.connected).collect();
        // What a proxy acknowledged of another epoch says nothing about this one.
        let there = |p: &v1::ProxyInfo| p.epoch == epoch && p.revision >= revision;
        let done = proxies.iter().all(there);
        let proxies = proxies
            .into_iter()
            .map(|p| v1::ProxyInfo { revision: if p.epoch == epoch { p.revision } else { 0 }, ..p })
            .collect();
        if done || Instant::now() + POLL_INTERVAL >= client.deadline() {
            return Ok(Outcome { revision, proxies });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl Outcome {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        self.proxies
            .iter()
            .map(|p| {
                let mut value = output::proxy(p);
                value["outcome"] = json!(self.of(p).0);
                value
            })
            .collect()
    }

    /// Whether it is what was waited for.
    pub(super) fn verdict(&self, timeout: Duration) -> Result<(), Error> {
        let late: Vec<_> =
            self.proxies.iter().filter(|p| p.revision < self.revision).map(|p| p.id.as_str()).collect();
        let refused = self.proxies.iter().find_map(|p| p.refused.first().map(|r| (p, r)));
        if let Some((proxy, refused)) = refused {
            let field = if refused.field.is_empty() { String::new() } else { format!(" {}:", refused.field) };
            let object = refused.object.as_ref().map(output::reference).unwrap_or_default();
            return Err(Error::RefusedByProxy(format!(
                "proxy {} cannot realise {object}:{field} {}; it keeps the previous form",
                proxy.id, refused.reason
            )));
        }
        if !late.is_empty() {
            return Err(Error::Timeout(format!(
                "after {timeout:?} revision {} is not acknowledged by {}; it is applied, see `weir proxy list`",
                self.revision,
                late.join(", ")
            )));
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["PROXY", "REVISION", "OUTCOME"], "no proxy is connected");
        for p in &self.proxies {
            let (word, state) = self.of(p);
            table.row([State::plain(&p.id), State::plain(p.revision), state.cell(word)]);
        }
        table
    }

    fn of(&self, proxy: &v1::ProxyInfo) -> (&'static str, State) {
        match proxy {
            p if p.revision < self.revision => ("late", State::Doubtful),
            p if p.refused.is_empty() => ("acknowledged", State::Good),
            _ => ("refused", State::Bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn proxy(id: &str, revision: u64, refused: &[&str]) -> v1::ProxyInfo {
        let refused = refused.iter().map(|reason| v1::Refused {
            object: Some(v1::ObjectRef { kind: v1::ObjectKind::Listener as i32, name: "web".into() }),
            field: "address".into(),
            reason: (*reason).into(),
        });
        v1::ProxyInfo { id: id.into(), revision, refused: refused.collect(), ..Default::default() }
    }

    fn verdict(proxies: Vec<v1::ProxyInfo>) -> (Exit, String) {
        match (Outcome { revision: 7, proxies }).verdict(TIMEOUT) {
            Ok(()) => (Exit::Ok, String::new()),
            Err(e) => (e.exit(), e.to_string()),
        }
    }

    #[test]
    fn all_acknowledged_is_good_and_no_proxy_too() {
        assert_eq!(verdict(vec![proxy("a", 7, &[]), proxy("b", 8, &[])]).0, Exit::Ok);
        assert_eq!(verdict(Vec::new()).0, Exit::Ok);
    }

    #[test]
    fn the_first_refusal_is_told() {
        let (exit, text) = verdict(vec![proxy("a", 7, &["in use", "other"]), proxy("b", 6, &[])]);
        assert_eq!(exit, Exit::RefusedByProxy);
        assert_eq!(text, "proxy a cannot realise listener web: address: in use; it keeps the previous form");
    }

    #[test]
    fn who_is_late_is_named() {
        let (exit, text) = verdict(vec![proxy("a", 6, &[]), proxy("b", 7, &[]), proxy("c", 0, &[])]);
        assert_eq!(exit, Exit::Timeout);
        assert!(text.starts_with("after 30s revision 7 is not acknowledged by a, c;"), "{text}");
    }
}
