//! Applies, one after the other: when every proxy has acknowledged one, a request through each of them sees it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use weir_proto::v1;
use weir_tests::{Backend, Client};

use crate::{
    plane::Plane,
    real::Real,
    report::{exactly, figure, part, times},
    settled,
};

/// Where routes lead to: each answers with its name.
const BACKENDS: usize = 8;
/// Routes that change, and the most that one apply changes.
const ROUTES: usize = 20;
const AT_ONCE: usize = 4;
/// A revision that is not acknowledged by all after this is counted, and not looked at.
const MOST: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// That many proxies, that many applies.
pub(crate) async fn run(proxies: usize, applies: usize) {
    let plane = Plane::start().await;
    let api = plane.api();
    let mut backends = Vec::new();
    for number in 0..BACKENDS {
        let backend = Backend::start(&format!("backend-{number}")).await;
        api.register(&format!("service-{number}"), backend.address()).await.expect("registered");
        backends.push(backend);
    }
    let real = Real::start(plane.grpc, proxies).await;
    let revision = api.answers().await.revision;
    if !matches!(timeout(MOST, settled::wait(&api, revision, proxies)).await, Ok(true)) {
        figure("proxies at the beginning", "not all there");
    }
    part(format!("{applies} applies, {proxies} real proxies"));

    let mut clients = Vec::new();
    for proxy in &real {
        clients.push(Client::open(proxy.traffic).await.expect("a connection"));
    }
    let (mut took, mut missed, mut unsettled, mut asked) = (Vec::new(), 0, 0, 0_u64);
    for _ in 0..applies {
        let (document, expected) = document();
        let began = Instant::now();
        let revision = api.apply(document).await.expect("applied");
        let all = matches!(timeout(MOST, settled::wait(&api, revision, proxies)).await, Ok(true));
        if !all {
            unsettled += 1;
            continue;
        }
        took.push(began.elapsed());
        for (client, proxy) in clients.iter_mut().zip(&real) {
            for (host, name) in &expected {
                asked += 1;
                missed += u64::from(ask(client, proxy, host).await.as_deref() != Some(name));
            }
        }
    }
    times("from Apply until the control plane says that all have acknowledged", &took, None);
    exactly("applies that were not acknowledged by all", unsettled, 0);
    figure("requests after that", asked);
    exactly("requests that did not see the new configuration", missed, 0);
}

/// Some routes lead elsewhere. For each of them its host, and the backend that must answer now.
fn document() -> (v1::Document, Vec<(String, String)>) {
    let mut numbers: Vec<usize> = (0..ROUTES).collect();
    fastrand::shuffle(&mut numbers);
    numbers.truncate(fastrand::usize(1..=AT_ONCE));
    let mut document = v1::Document::default();
    let mut expected = Vec::new();
    for number in numbers {
        let (host, to) = (format!("route-{number}.example"), fastrand::usize(..BACKENDS));
        // Something always changes, so that each apply is a revision.
        let weight = Some(fastrand::u32(1..=1_000_000));
        let services = vec![v1::WeightedService { name: format!("service-{to}"), weight }];
        let path = Some(v1::route_match::Path::PathPrefix("/".to_owned()));
        document.routes.push(v1::Route {
            name: format!("route-{number}"),
            r#match: Some(v1::RouteMatch { host: host.clone(), path }),
            services,
            ..v1::Route::default()
        });
        expected.push((host, format!("backend-{to}")));
    }
    (document, expected)
}

/// Which backend answers.
async fn ask(client: &mut Client, proxy: &Real, host: &str) -> Option<String> {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for _ in 0..2 {
        if let Ok(response) = client.send("GET", &request).await {
            return Some(response.text());
        }
        sleep(POLL).await;
        *client = Client::open(proxy.traffic).await.ok()?;
    }
    None
}
