//! The control plane as commands see it: typed clients, one deadline, and failures as sentences.

mod caller;
mod status;

use std::time::Duration;

use tokio::time::Instant;
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use weir_proto::v1::{admin_client::AdminClient, registry_client::RegistryClient};

use crate::Error;

pub(crate) use caller::Caller;

/// A connection whose calls say who calls.
pub(crate) type Named = InterceptedService<Channel, Caller>;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest message that is taken: pages of listings stay far below.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// A quiet connection is probed this often...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// ...and given up when the probe is not answered in this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to the control plane.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    url: String,
    channel: Channel,
    caller: Caller,
    deadline: Instant,
    timeout: Duration,
}

impl Client {
    /// Connects to the first of the control planes that can be reached. Everything that is asked through it has to be done
    /// within `timeout` from now.
    pub(crate) async fn connect(urls: &[String], timeout: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + timeout;
        // What is wrong with the last of them is told even if the first one answers.
        let endpoints =
            urls.iter().map(|url| Ok((url, endpoint(url)?))).collect::<Result<Vec<_>, Error>>()?;
        let mut reasons = Vec::new();
        for (url, endpoint) in endpoints {
            let left = deadline.saturating_duration_since(Instant::now());
            match endpoint.connect_timeout(CONNECT_TIMEOUT.min(left)).connect().await {
                Ok(channel) => {
                    let (url, caller) = (url.clone(), Caller::this_process());
                    return Ok(Self { url, channel, caller, deadline, timeout });
                }
                Err(e) => reasons.push(status::root_cause(&e)),
            }
        }
        reasons.dedup();
        Err(Error::Unreachable { url: urls.join(" or "), reason: reasons.join(", ") })
    }

    /// The same under another name, if there is one.
    pub(crate) fn called(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => Self { caller: Caller::named(name), ..self },
            None => self,
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// When everything has to be done.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long it may take in all.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The operator's calls.
    pub(crate) fn admin(&self) -> AdminClient<Named> {
        AdminClient::with_interceptor(self.channel.clone(), self.caller.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The backends' calls.
    pub(crate) fn registry(&self) -> RegistryClient<Named> {
        RegistryClient::with_interceptor(self.channel.clone(), self.caller.clone())
    }

    /// The answer of a call, or why there is none, by the deadline.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout_at(self.deadline, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status::explained(&self.url, &status).await),
            Err(_) => Err(self.late()),
        }
    }

    /// The next answer of a stream, by the deadline; None at its end.
    pub(crate) async fn next<T>(&self, stream: &mut tonic::Streaming<T>) -> Result<Option<T>, Error> {
        match tokio::time::timeout_at(self.deadline, stream.message()).await {
            Ok(answer) => answer.map_err(|status| self.failure(&status)),
            Err(_) => Err(self.late()),
        }
    }

    /// What a status means.
    pub(crate) fn failure(&self, status: &tonic::Status) -> Error {
        status::failure(&self.url, status)
    }

    fn late(&self) -> Error {
        Error::Timeout(format!(
            "the control plane at {} did not answer within {:?}; raise --timeout if it is only slow",
            self.url, self.timeout
        ))
    }
}

/// The address `url` with keepalive, not connected yet.
pub(crate) fn endpoint(url: &str) -> Result<Endpoint, Error> {
    let wrong = |reason: &str| Error::Usage(format!("--control-plane {url}: {reason}"));
    let uri: tonic::transport::Uri =
        url.parse().map_err(|_| wrong("must be a URL as http://127.0.0.1:7400"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(_)) => {}
        (Some("https"), _) => return Err(wrong("this version has no TLS; write http://")),
        _ => return Err(wrong("must be a URL as http://127.0.0.1:7400")),
    }
    Ok(Endpoint::from(uri)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT))
}

/// The same for a loop that tries for ever, as one line.
pub(crate) async fn sentence(url: &str, status: &tonic::Status) -> String {
    status::explained(url, status).await.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_tried() {
        let text = |url: &str| endpoint(url).expect_err("must be refused").to_string();
        assert_eq!(
            text("127.0.0.1:7400"),
            "--control-plane 127.0.0.1:7400: must be a URL as http://127.0.0.1:7400"
        );
        assert!(text("https://a:7400").ends_with("this version has no TLS; write http://"));
        assert!(endpoint("http://[::1]:7400").is_ok());
    }
}
