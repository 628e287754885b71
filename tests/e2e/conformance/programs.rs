//! Programs of others as clients and as backends: what differs from a direct connection? `tests/conformance/programs`.

use weir_proto::v1;
use weir_tests::{Cluster, Process};

use crate::python::script;

const BACKENDS: [&str; 4] = ["aiohttp", "hypercorn", "nginx", "websockets"];

/// curl, httpx, aiohttp and websockets, each to aiohttp, hypercorn, nginx and websockets, with and without the proxy:
/// by HTTP/1, by HTTP/2 to the proxy, and by HTTP/2 to the backend.
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
    // The same program once more, spoken to by HTTP/2.
    let name = "hypercorn-by-http2";
    let address = backends.address("hypercorn").await;
    let protocol = v1::ServiceProtocol::Http2.into();
    let service = v1::Service { name: name.to_owned(), protocol, ..v1::Service::default() };
    cluster.api.apply(v1::Document { services: vec![service], ..v1::Document::default() }).await.unwrap();
    cluster.api.register(name, address).await.unwrap();
    arguments.push(format!("{name}={address}"));
    cluster.settled().await;

    let output = script("clients.py").args(arguments).output().await.unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}\n{errors}\n{}", backends.output());
}
