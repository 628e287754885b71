//! Health checks under a whole proxy, as its clients and its metrics tell of them.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::Relaxed},
};

use prost::Message;
use tokio::{io::AsyncBufReadExt, net::TcpListener};
use tokio_util::task::AbortOnDropHandle;
use weir_proto::{ObjectKind, duration_to_wire, v1};

use super::*;

/// A backend that serves everybody with its name, whatever it says of itself when it is asked.
struct Site {
    address: SocketAddr,
    health: Arc<AtomicU16>,
    _task: AbortOnDropHandle<()>,
}

impl Site {
    async fn new(name: &'static str, health: u16) -> Self {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let (address, health) = (listener.local_addr().unwrap(), Arc::new(AtomicU16::new(health)));
        let for_task = Arc::clone(&health);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, name, Arc::clone(&for_task)));
            }
        });
        Self { address, health, _task: AbortOnDropHandle::new(task) }
    }
}

async fn serve(stream: TcpStream, name: &'static str, health: Arc<AtomicU16>) {
    let mut stream = tokio::io::BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(stream.read_line(&mut head).await, Ok(1..)) {
                return;
            }
        }
        let status = if head.starts_with("GET /healthcheck ") { health.load(Relaxed) } else { 200 };
        let answer = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Proxy {
    /// Who answers.
    async fn served(&self) -> String {
        let answer = get(self.traffic, "/").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.rsplit('\n').next().unwrap().to_owned()
    }

    /// Returns when so many backends are healthy, and so many are not.
    async fn until_found(&self, healthy: usize, unhealthy: usize) {
        let lines = [("healthy", healthy), ("unhealthy", unhealthy)].map(|(state, count)| {
            format!("weir_proxy_backends{{service=\"web\",state=\"{state}\"}} {count}\n")
        });
        let poll = async {
            loop {
                let (_, text) = self.ask("/metrics").await;
                if lines.iter().all(|line| text.contains(line)) {
                    return;
                }
            }
        };
        timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{lines:?} never come"));
    }
}

#[tokio::test]
async fn requests_go_to_whom_probes_find_well_and_to_all_when_that_is_nobody() {
    let (one, other) = (Site::new("one", 200).await, Site::new("other", 503).await);
    let probe = v1::HttpProbe { path: "/healthcheck".into(), ..v1::HttpProbe::default() };
    let check = v1::HealthCheck {
        probe: Some(v1::health_check::Probe::Http(probe)),
        interval: Some(duration_to_wire(Duration::from_millis(100))),
        timeout: Some(duration_to_wire(PATIENCE)),
        ..v1::HealthCheck::default()
    };
    let web = v1::Service { name: "web".into(), health_check: Some(check), ..v1::Service::default() };
    let web = raw(ObjectKind::Service, "web", &web.encode_to_vec(), 0);
    let list = [&one, &other].map(|site| backend("web", &site.address.to_string()));
    let (_plane, _peer, proxy, _) = started(&[&[web], &list[..]].concat(), None).await;
    for _ in 0..10 {
        assert_eq!(proxy.served().await, "one", "from the first request on");
    }
    proxy.until_found(1, 1).await;

    other.health.store(200, Relaxed);
    let back = async { while proxy.served().await != "other" {} };
    timeout(PATIENCE, back).await.expect("it is used again");

    one.health.store(503, Relaxed);
    proxy.until_found(1, 1).await;
    for _ in 0..10 {
        assert_eq!(proxy.served().await, "other");
    }

    other.health.store(503, Relaxed);
    proxy.until_found(0, 2).await;
    let mut served = [proxy.served().await, proxy.served().await];
    served.sort_unstable();
    assert_eq!(served, ["one", "other"], "health fails open");
    let (_, text) = proxy.ask("/metrics").await;
    for outcome in ["passed", "failed"] {
        let none = format!("weir_proxy_health_checks_total{{service=\"web\",outcome=\"{outcome}\"}} 0\n");
        let some = none.strip_suffix("0\n").unwrap();
        assert!(text.contains(some) && !text.contains(&none), "{text}");
    }
    proxy.stop().await;
}
