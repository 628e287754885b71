//! sslyze and testssl.sh, which know what a TLS server should not do.

use std::process::Output;

use tokio::process::Command;

use super::stage::{Stage, told};
use crate::{python::python, soak};

/// Takes minutes: in the long run of the tests alone.
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
    println!("{}", told(&output));
    println!("{}", std::fs::read_to_string(findings).unwrap());
}

async fn ran(mut command: Command) -> Output {
    let name = command.as_std().get_program().to_owned();
    command.kill_on_drop(true);
    command.output().await.unwrap_or_else(|e| panic!("{}: {e}; ./tests/run installs it", name.display()))
}
