//! Certificates that change under a whole proxy, as its admin page tells of them.

use prost::Message;
use weir_proto::{ObjectKind, v1};

use super::*;
use crate::tls::testing::{Authority, Folder};

impl Proxy {
    /// Returns when an answer of the admin's says so.
    async fn until_said(&self, path: &str, wanted: &str) -> String {
        let poll = async {
            loop {
                let (_, text) = self.ask(path).await;
                if text.contains(wanted) {
                    return text;
                }
            }
        };
        timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{path} never says {wanted}"))
    }
}

#[tokio::test]
async fn changed_certificates_are_followed_and_bad_ones_raise_an_alarm() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    let files = folder.issue("web", &root, &["one.example"]);
    let wire = v1::Listener {
        name: "web".into(),
        address: free(),
        tls: Some(v1::ListenerTls {
            certificates: vec![v1::CertificateFiles::from(&files)],
            ..v1::ListenerTls::default()
        }),
        ..v1::Listener::default()
    };
    let listener = raw(ObjectKind::Listener, "web", &wire.encode_to_vec(), 2);
    let (_plane, _peer, proxy, _) = started(&[listener], None).await;
    let text = proxy.until_said("/config", "one.example").await;
    assert!(text.contains("\"not_after\": \"2120-01-01T00:00:00Z\""), "{text}");
    let healthy = "weir_proxy_tls_reload_failed{object=\"listener web\"} 0";
    let text = proxy.until_said("/metrics", healthy).await;
    let ends = format!(
        "weir_proxy_tls_certificate_not_after_seconds{{object=\"listener web\",file=\"{}\"}} 4733510400",
        files.certificate.display()
    );
    assert!(text.contains(&ends), "{text}");

    let (next, other) = (root.issue(&["two.example"]), root.issue(&["two.example"]));
    folder.pair("web", &next.certificate, &other.key);
    proxy.until_said("/metrics", "weir_proxy_tls_reload_failed{object=\"listener web\"} 1").await;
    let text = proxy.until_said("/config", "does not match the certificate").await;
    assert!(text.contains("one.example"), "the old one stays: {text}");

    folder.write("web.key", &next.key);
    proxy.until_said("/config", "two.example").await;
    proxy.until_said("/metrics", healthy).await;
    proxy.stop().await;
}
