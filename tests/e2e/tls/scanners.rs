//! sslyze and testssl.sh, which know what a TLS server should not do.

use std::process::Output;

use tokio::process::Command;

use super::stage::{Stage, told};
use crate::{python::python, soak};

/// What testssl.sh says of any server that is set up like this one.
///
/// The suites are equally strong, so the client chooses, as Mozilla's "intermediate" settings have it: it knows whether
/// it is fast at AES. `localhost` has no CAA record. Fields of responses are the backend's.
const EXPECTED: [&str; 4] = ["cipher_order", "DNS_CAArecord", "HSTS", "security_headers"];

/// Takes a minute: in the long run of the tests alone.
#[tokio::test(flavor = "multi_thread")]
async fn scanners_find_nothing() {
    if !soak() {
        return;
    }
    let stage = Stage::start().await;
    let files = stage.files("one", &["localhost"]).yaml();
    let address = stage.listen(&format!("{{ certificates: [ {files} ] }}")).await;
    let target = format!("localhost:{}", address.port());

    let mut sslyze = Command::new(python().with_file_name("sslyze"));
    sslyze.args(["--mozilla_config=intermediate", "--certinfo_ca_file"]).arg(&stage.root).arg(&target);
    let output = ran(sslyze).await;
    assert!(output.status.success() && told(&output).contains("OK - Compliant"), "{}", told(&output));

    let findings = stage.path().join("findings.csv");
    let mut testssl = Command::new("testssl");
    testssl.args(["--fast", "--quiet", "--color", "0", "--warnings", "off", "--severity", "LOW", "--add-ca"]);
    testssl.arg(&stage.root).arg("--csvfile").arg(&findings).args(["--ip", "127.0.0.1", &target]);
    let output = ran(testssl).await;
    let text = told(&output);
    assert!(text.contains("Done "), "it did not come to its end: {text}");
    let findings = std::fs::read_to_string(findings).unwrap();
    let serious = ["LOW", "MEDIUM", "HIGH", "CRITICAL"].map(|severity| format!("\"{severity}\""));
    let bad: Vec<_> = findings
        .lines()
        .filter(|line| serious.iter().any(|severity| line.contains(severity)))
        .filter(|line| !EXPECTED.iter().any(|id| line.starts_with(&format!("\"{id}\""))))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}\n{text}");
}

async fn ran(mut command: Command) -> Output {
    let name = command.as_std().get_program().to_owned();
    command.kill_on_drop(true);
    command.output().await.unwrap_or_else(|e| panic!("{}: {e}; ./tests/run installs it", name.display()))
}
