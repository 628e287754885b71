//! As many requests as a limit allows pass at once, whoever sends them together, and not one more.

use std::net::{IpAddr, SocketAddr};

use tokio::{net::TcpSocket, task::JoinSet};
use weir_tests::{Backend, Client, Daemons, Response, Wire};

/// In an hour, so that nothing is added while a test lasts.
const HEADER: &str = "rate_limits: [{ requests: 7, per: 1h, key: { header: X-Tenant } }]";
const ADDRESS: &str = "rate_limits: [{ requests: 60, per: 1h, burst: 7, key: client_address }]";

#[tokio::test(flavor = "multi_thread")]
async fn by_header_each_value_has_its_own() {
    let (backend, daemons) = (Backend::start("a").await, Daemons::start(1).await);
    daemons.serve("web", &[HEADER], &[backend.address()]).await;
    let from = [127, 0, 0, 1].into();
    let ask = async |head: &str| together(from, daemons.traffic[0], head, 20).await;

    assert_eq!(ask("X-Tenant: one\r\n").await, (7, 13));
    assert_eq!(ask("x-tenant: one\r\n").await, (0, 20), "nothing is left of it");
    assert_eq!(ask("X-Tenant: two\r\n").await, (7, 13), "another one is not affected");
    assert_eq!(ask("").await, (20, 0), "who has none is not limited");
    assert_eq!(backend.requests(), 34, "what is refused does not get there");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_client_address_the_port_does_not_matter() {
    let (backend, daemons) = (Backend::start("a").await, Daemons::start(1).await);
    daemons.serve("web", &[ADDRESS], &[backend.address()]).await;
    let ask = async |last| together([127, 0, 0, last].into(), daemons.traffic[0], "", 20).await;

    assert_eq!(ask(1).await, (7, 13));
    assert_eq!(ask(2).await, (7, 13), "another one is not affected");
    assert_eq!(ask(1).await, (0, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_route_the_others_of_the_service_are_not_affected() {
    let (backend, daemons) = (Backend::start("a").await, Daemons::start(1).await);
    let document = format!(
        "services:
  - name: web
    backends: [\"{}\"]
routes:
  - match: {{ host: limited.example }}
    service: web
    rate_limits: [{{ requests: 7, per: 1h }}]
  - service: web
",
        backend.address()
    );
    daemons.apply(&document).await;
    let mut limited = Vec::new();
    for _ in 0..10 {
        let mut client = Client::open(daemons.traffic[0]).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: limited.example\r\n\r\n";
        limited.push(client.send("GET", request).await.unwrap().status());
    }
    assert_eq!(limited, [[200; 7].as_slice(), &[429; 3]].concat());
    assert_eq!(together([127, 0, 0, 1].into(), daemons.traffic[0], "", 20).await, (20, 0));
}

/// Sends so many requests at one time, each on a connection of its own. How many passed, and how many did not.
async fn together(from: IpAddr, to: SocketAddr, head: &str, requests: usize) -> (usize, usize) {
    let mut asked = JoinSet::new();
    for _ in 0..requests {
        let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{head}\r\n");
        asked.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            let wire = Wire::over(socket.connect(to).await.unwrap());
            Client { wire }.send("GET", request).await.unwrap()
        });
    }
    let answers = asked.join_all().await;
    let passed = answers.iter().filter(|answer| answer.status() == 200).count();
    answers.iter().filter(|answer| answer.status() != 200).for_each(refused);
    (passed, requests - passed)
}

fn refused(answer: &Response) {
    assert_eq!(answer.status(), 429);
    assert!(answer.head.get("proxy-status").unwrap().contains("rate_limited"), "{}", answer.head.raw);
    // An hour for 7, or for 60: the next one may come after that part of it.
    let seconds: u32 = answer.head.get("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&seconds), "{seconds}");
}
