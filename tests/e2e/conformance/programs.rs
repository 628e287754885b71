//! Programs of others as clients and as backends: what differs from a direct connection? `tests/conformance/programs`.

use weir_tests::{Cluster, Process};

use crate::python::script;

const BACKENDS: [&str; 4] = ["aiohttp", "hypercorn", "nginx", "websockets"];

/// curl, httpx, aiohttp and websockets, each to aiohttp, hypercorn, nginx and websockets, with and without the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_differs_from_a_direct_connection() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = script("backends.py");
    command.arg(folder.path());
    let backends = Process::spawn(command);
    let mut arguments = vec![cluster.traffic().to_string()];
    for name in BACKENDS {
        let address = backends.address(name).await;
        cluster.api.register(name, address).await.unwrap();
        arguments.push(format!("{name}={address}"));
    }
    cluster.settled().await;

    let output = script("clients.py").args(arguments).output().await.unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}\n{errors}\n{}", backends.output());
}
