//! Changes the configuration of a running control plane ten times a second: what a busy fleet does to its proxies.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use weir_proto::v1;
use weir_tests::Api;

const PERIOD: Duration = Duration::from_millis(100);
/// How many services, with a route each, change in turn.
const SERVICES: u32 = 20;
/// Each so-manieth change brings the backend to the service under load, or takes it away.
const BACKEND_EACH: u32 = 5;

/// For so many seconds. `backend` is one that can serve what `service` serves.
pub(crate) async fn run(control_plane: SocketAddr, service: &str, backend: SocketAddr, seconds: u32) {
    let api = Api::at(control_plane);
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut registered, mut changes) = (false, 0);
    for number in 0..seconds * 10 {
        ticks.tick().await;
        if number % BACKEND_EACH > 0 {
            api.apply(document(number)).await.expect("an answer to a document");
        } else if registered {
            let id = format!("{service}/{backend}");
            api.deregister(&id).await.expect("an answer to a deregistration");
            registered = false;
        } else {
            api.register(service, backend).await.expect("an answer to a registration");
            registered = true;
        }
        changes += 1;
    }
    if registered {
        api.deregister(&format!("{service}/{backend}")).await.expect("an answer to a deregistration");
    }
    println!(r#"{{"changes":{changes}}}"#);
}

/// A service and its route that differ from what was last said of them.
fn document(number: u32) -> v1::Document {
    let name = format!("churn-{}", number % SERVICES);
    let service = v1::Service { name: name.clone(), ..v1::Service::default() };
    let weighted = v1::WeightedService { name: name.clone(), weight: Some(number + 1) };
    let host = v1::RouteMatch { host: format!("{name}.example"), ..v1::RouteMatch::default() };
    let route = v1::Route { name, r#match: Some(host), services: vec![weighted], ..Default::default() };
    v1::Document { services: vec![service], routes: vec![route], ..v1::Document::default() }
}
