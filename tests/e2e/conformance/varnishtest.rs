//! Scripts for varnishtest, a judge of HTTP/1 by others: `tests/conformance/varnishtest`.

use std::path::Path;

use tokio::process::Command;
use weir_tests::Port;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn scripts_for_varnishtest() {
    let mut stage = Stage::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/varnishtest");
    let mut scripts: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort_unstable();
    assert!(scripts.len() >= 5, "only {scripts:?}");
    for script in scripts {
        let name = script.file_stem().unwrap().to_string_lossy().replace('_', "-");
        // The script's server must be registered before it listens.
        let port = Port::free();
        let backend = port.address();
        stage.cluster.api.register(&name, backend).await.unwrap();
        stage.cluster.settled().await;
        let mut command = Command::new("varnishtest");
        command.arg("-Dbackend=".to_owned() + &backend.to_string()).arg(format!("-Dproxy={}", stage.traffic));
        command.arg(format!("-Dhost={name}")).args(["-t", "20"]).arg(&script);
        let output = command.output().await.unwrap_or_else(|e| {
            panic!("varnishtest, of Debian's package `varnish`: {e}; ./tests/run installs it")
        });
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let faults = told.lines().filter(|line| line.starts_with("----") || line.starts_with('#'));
        let faults = faults.collect::<Vec<_>>().join(" | ");
        stage.check(output.status.success(), || format!("{name}: {faults}"));
    }
    stage.end();
}
