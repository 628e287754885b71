//! What the control plane tells of, gathered as `weir watch` shows it.

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use weir_proto::v1;

use crate::{Api, until};

/// Every event from the control plane's start on.
#[derive(Debug)]
pub struct Events {
    seen: Arc<Mutex<Vec<v1::Event>>>,
    task: JoinHandle<()>,
}

impl Events {
    /// Watches until this is dropped.
    pub async fn watch(api: &Api) -> Self {
        let request = v1::WatchEventsRequest { past: 10_000, ..Default::default() };
        let mut events = api.admin.clone().watch_events(request).await.expect("events").into_inner();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gathered = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok(Some(event)) = events.message().await {
                gathered.lock().expect("not poisoned").push(event);
            }
        });
        Self { seen, task }
    }

    /// What was said so far of how proxies find this backend (`service/id`).
    #[must_use]
    pub fn of(&self, backend: &str) -> Vec<String> {
        let seen = self.seen.lock().expect("not poisoned");
        let about = |event: &&v1::Event| {
            event.r#type() == v1::EventType::BackendConditionChanged
                && event.message.split_whitespace().any(|word| word.trim_end_matches(':') == backend)
        };
        seen.iter().filter(about).map(|event| event.message.clone()).collect()
    }

    /// Waits until something with this text was said of the backend.
    pub async fn tell(&self, backend: &str, text: &str) {
        let told = async || self.of(backend).iter().any(|message| message.contains(text)).then_some(());
        until(&format!("an event that says {text:?} of {backend}"), told).await;
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}
