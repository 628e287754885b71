//! gRPC through the proxy, in the clear and by TLS on both sides: grpcio as the client and as the backend.
//! `tests/conformance/programs`.

use std::{net::SocketAddr, path::Path, time::Duration};

use tokio::{process::Command, time::Instant};
use weir_proto::v1;
use weir_tests::{Cluster, Port, Process};

use crate::{authority::Authority, python::script};

/// How long a request's body may be silent, the shortest that may be set. Streams are silent for longer.
const IDLE: Duration = Duration::from_secs(1);

/// A proxy, a backend of grpcio as the service `calls`, and services that do not work.
struct Stage {
    cluster: Cluster,
    backend: Process,
    address: SocketAddr,
    _nobody: Port,
}

/// TLS for both sides: what is configured of it.
struct Secure {
    listener: v1::ListenerTls,
    service: v1::ServiceTls,
}

impl Stage {
    async fn start(backend: Command, secure: Option<Secure>) -> Self {
        let cluster = Cluster::start().await;
        let backend = Process::spawn(backend);
        let (listener, tls) = secure.map(|secure| (secure.listener, secure.service)).unzip();
        let limits = v1::ListenerLimits {
            body_idle_timeout: Some(weir_proto::duration_to_wire(IDLE)),
            ..v1::ListenerLimits::default()
        };
        let address = cluster
            .listen(v1::Listener { tls: listener, limits: Some(limits), ..v1::Listener::default() })
            .await;
        let services = ["calls", "empty", "gone"].map(|name| v1::Service {
            name: name.to_owned(),
            protocol: v1::ServiceProtocol::Http2.into(),
            tls: tls.clone(),
            ..v1::Service::default()
        });
        let routes = services.iter().map(|service| v1::Route {
            r#match: Some(v1::RouteMatch { host: service.name.clone(), path: None }),
            services: vec![v1::WeightedService { name: service.name.clone(), weight: None }],
            ..v1::Route::default()
        });
        let routes = routes.collect();
        cluster.apply(v1::Document { services: services.into(), routes, ..v1::Document::default() }).await;
        // Whom no route names is nobody's.
        cluster.api.default_route(false).await.unwrap();
        cluster.api.register("calls", backend.address("grpc").await).await.unwrap();
        // Nobody listens there.
        let nobody = Port::free();
        cluster.api.register("gone", nobody.address()).await.unwrap();
        cluster.settled().await;
        Self { cluster, backend, address, _nobody: nobody }
    }

    /// Runs the client's checks.
    async fn check(&self, ca: Option<&Path>) {
        let mut client = script("grpc_client.py");
        client.args([&self.address.to_string(), "calls"]).args(ca);
        let output = client.output().await.unwrap();
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}\n{errors}\n{}", self.backend.output());
        assert!(told.matches("ok: ").count() > 35, "{told}");
        self.cancelled().await;
    }

    /// The backend heard of the two calls that ended early: the one was cancelled after half a second, the other's
    /// time was over after 0.7 s.
    async fn cancelled(&self) {
        self.backend.line("call ended").await;
        weir_tests::until("both calls to end", async || {
            (self.backend.output().matches("call ended").count() == 2).then_some(())
        })
        .await;
        for line in self.backend.output().lines().filter(|line| line.starts_with("call ended")) {
            let seconds = line.split(' ').nth(3).and_then(|word| word.parse::<f64>().ok());
            assert!(
                seconds.is_some_and(|seconds| seconds < 10.0) && line.ends_with("active: False"),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_the_clear() {
    Stage::start(script("grpc_backend.py"), None).await.check(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_by_tls() {
    let (authority, folder) = (Authority::new("Test Root"), tempfile::tempdir().unwrap());
    let root = authority.write(&folder.path().join("root.crt"));
    let front = authority.issue(&["calls", "empty", "gone", "nowhere"]).write(folder.path(), "front");
    let back = authority.issue(&["grpc.internal"]).write(folder.path(), "back");
    let mine = authority.issue(&["proxy.internal"]).write(folder.path(), "mine");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let secure = Secure {
        listener: v1::ListenerTls {
            certificates: vec![v1::CertificateFiles {
                certificate_file: text(&front.certificate),
                private_key_file: text(&front.key),
            }],
            ..v1::ListenerTls::default()
        },
        service: v1::ServiceTls {
            ca_file: text(&root),
            server_name: "grpc.internal".to_owned(),
            certificate_file: text(&mine.certificate),
            private_key_file: text(&mine.key),
            ..v1::ServiceTls::default()
        },
    };
    let mut backend = script("grpc_backend.py");
    backend.args([&back.certificate, &back.key, &root]);
    Stage::start(backend, Some(secure)).await.check(Some(&root)).await;
}

/// A client without a clock of its own learns from the proxy that the time is over.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_keeps_the_time_of_a_call() {
    let stage = Stage::start(script("grpc_backend.py"), None).await;
    let started = Instant::now();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--max-time",
        "20",
        "--http2-prior-knowledge",
        "-i",
        "-H",
        "content-type: application/grpc",
    ]);
    curl.args(["-H", "te: trailers", "-H", "grpc-timeout: 300m", "-H", "host: calls"]);
    // A message of no bytes: its length, not compressed.
    let message = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(message.path(), [0; 5]).unwrap();
    curl.arg("--data-binary").arg(format!("@{}", message.path().display()));
    curl.arg(format!("http://{}/a.Test/Hang", stage.address));
    let output = curl.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("HTTP/2 200"), "{text} {output:?}");
    assert!(text.contains("\r\ngrpc-status: 4\r\n"), "{text}");
    assert!(started.elapsed() >= Duration::from_millis(300), "not before its time");
    stage.backend.line("call ended").await;
    drop(stage.cluster);
}
