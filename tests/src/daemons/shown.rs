//! What a proxy shows of itself: its admin pages and its access log.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::Value;

use super::Daemons;
use crate::{get, until};

/// The entry of a backend in what the admin page `/config` of a proxy says.
pub(crate) fn entry(page: &str, service: &str, backend: SocketAddr) -> Value {
    let table: Value = serde_json::from_str(page).expect("JSON");
    table["services"][service]["backends"][backend.to_string()].clone()
}

impl Daemons {
    /// This page of the proxy's admin address.
    pub async fn page(&self, index: usize, path: &str) -> String {
        let admin = self.proxies[index].address("admin").await;
        let page = get(admin, path).await.expect("the admin page");
        assert_eq!(page.status(), 200, "{path}: {}", page.text());
        page.text()
    }

    /// What the proxy finds of a backend: its entry in the table in force.
    pub async fn found(&self, index: usize, service: &str, backend: SocketAddr) -> Value {
        entry(&self.page(index, "/config").await, service, backend)
    }

    /// Waits until what the proxy finds of a backend is as it should be. Its entry.
    pub async fn finds(
        &self,
        index: usize,
        service: &str,
        backend: SocketAddr,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        until(&format!("{backend} to be {what}"), async || {
            Some(self.found(index, service, backend).await).filter(|found| is_so(found))
        })
        .await
    }

    /// The proxy's metric of this name, summed over those of its series that have these labels. 0 if there is none.
    pub async fn counted(&self, index: usize, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = self.page(index, "/metrics").await;
        let is_wanted = |line: &&str| {
            line.split([' ', '{']).next() == Some(name)
                && labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
        };
        page.lines().filter(is_wanted).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What the proxy has logged of requests, of one started by [`Daemons::logged`].
    #[must_use]
    pub fn access_log(&self, index: usize) -> Vec<Value> {
        let log = std::fs::read_to_string(self.access_log_file(index)).unwrap_or_default();
        // What follows the last line's end is a line that is not all there.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Waits until so many requests are logged. All of them.
    pub async fn access_logged(&self, index: usize, requests: usize) -> Vec<Value> {
        until(&format!("{requests} lines of the access log"), async || {
            Some(self.access_log(index)).filter(|log| log.len() >= requests)
        })
        .await
    }

    pub(super) fn access_log_file(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("access-{index}.json"))
    }
}
