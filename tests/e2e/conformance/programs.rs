//! Programs of others as clients and as backends: what differs from a direct connection? `tests/conformance/programs`.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use weir_tests::{Cluster, Process};

const BACKENDS: [&str; 4] = ["aiohttp", "hypercorn", "nginx", "websockets"];

/// curl, httpx, aiohttp and websockets, each to aiohttp, hypercorn, nginx and websockets, with and without the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_differs_from_a_direct_connection() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/programs");
    let cluster = Cluster::start().await;
    let mut command = Command::new(python());
    let folder = tempfile::tempdir().unwrap();
    command.arg(programs.join("backends.py")).arg(folder.path());
    let backends = Process::spawn(command);
    let mut arguments = vec![cluster.traffic().to_string()];
    for name in BACKENDS {
        let address = backends.address(name).await;
        cluster.api.register(name, address).await.unwrap();
        arguments.push(format!("{name}={address}"));
    }
    cluster.settled().await;

    let output = Command::new(python())
        .arg(programs.join("clients.py"))
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}\n{errors}\n{}", backends.output());
}

/// The Python with the packages that the programs need.
fn python() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap().to_owned();
    let python = target.join("conformance-venv/bin/python");
    assert!(python.exists(), "{} is missing: ./tests/run makes it", python.display());
    python
}
