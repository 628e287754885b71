//! Listeners that ask their clients for certificates.

use std::process::Output;

use super::stage::{Stage, told};
use crate::authority::{Authority, Files};

async fn with(stage: &Stage, address: std::net::SocketAddr, files: Option<&Files>, most: &str) -> Output {
    let Some(files) = files else { return stage.curl(address, "one.example", &["--tls-max", most]).await };
    let (certificate, key) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    stage.curl(address, "one.example", &["--tls-max", most, "--cert", certificate, "--key", key]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_good_certificates_or_end_in_the_handshake() {
    let stage = Stage::start().await;
    let server = stage.files("one", &["one.example"]).yaml();
    let good = stage.files("client", &["client.example"]);
    let foreign = Authority::new("Another Root").issue(&["client.example"]).write(stage.path(), "foreign");
    let ca = stage.root.display();
    for (mode, without) in [("required", false), ("optional", true)] {
        let address = stage
            .listen(&format!(
                "{{ certificates: [ {server} ], client_certificate: {{ ca: {ca}, mode: {mode} }} }}"
            ))
            .await;
        for most in ["1.2", "1.3"] {
            for (what, files, passes) in
                [("none", None, without), ("good", Some(&good), true), ("foreign", Some(&foreign), false)]
            {
                let before = stage.backend.requests();
                let output = with(&stage, address, files, most).await;
                let row = format!("{mode}, {what}, TLS {most}: {}", told(&output));
                assert_eq!(output.status.success(), passes, "{row}");
                assert_eq!(stage.backend.requests() - before, usize::from(passes), "{row}");
            }
        }
    }
}
