//! `Admin.RevisionStatus`: what became of a revision on each proxy.

use tonic::{Code, Streaming};
use weir_proto::v1::{self, Outcome, control_message::Message as Down, proxy_message::Message as Up};

use crate::{
    discovery::proxy::Proxy,
    harness::{Server, config},
};

async fn watch(server: &Server, revision: u64) -> Streaming<v1::RevisionStatusResponse> {
    let request = v1::RevisionStatusRequest { revision, once: false };
    server.admin().await.revision_status(request).await.expect("a stream").into_inner()
}

async fn next(stream: &mut Streaming<v1::RevisionStatusResponse>) -> v1::RevisionStatusResponse {
    stream.message().await.expect("alive").expect("an answer")
}

fn outcomes(answer: &v1::RevisionStatusResponse) -> Vec<(&str, Outcome, u64)> {
    let each = |proxy| {
        let proxy: &v1::ProxyOutcome = proxy;
        (proxy.proxy_id.as_str(), proxy.outcome(), proxy.acknowledged_revision)
    };
    answer.proxies.iter().map(each).collect()
}

fn refused(name: &str) -> v1::Refused {
    let object = Some(v1::ObjectRef { kind: v1::ObjectKind::Backend as i32, name: name.to_owned() });
    v1::Refused { object, field: "address".to_owned(), reason: "is not for this proxy".to_owned() }
}

#[tokio::test]
async fn everybody_who_waits_hears_what_became_of_a_revision_on_each_proxy() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let (mut good, mut bad) =
        (Proxy::connect(&server, "good", None).await, Proxy::connect(&server, "bad", None).await);
    for proxy in [&mut good, &mut bad] {
        proxy.follow().await;
    }
    let revision = server.register("web", "10.0.0.2:80").await;
    let mut stream = watch(&server, 0).await;
    let first = next(&mut stream).await;
    assert_eq!(outcomes(&first), [("bad", Outcome::Pending, 0), ("good", Outcome::Pending, 0)]);
    assert_eq!((first.revision, first.settled), (revision, false));
    assert_eq!(first.info.as_ref().map(|info| info.revision), Some(revision));

    good.follow().await;
    let position = bad.state().await.position();
    let list = vec![refused("web/10.0.0.2:80"), refused("web/10.0.0.1:80"), refused("web/never")];
    bad.say(Up::Ack(v1::Ack { position: Some(position), refused: list })).await;
    let mut answer = first;
    let mut told = Vec::new();
    while !answer.settled {
        answer = next(&mut stream).await;
        assert_eq!(answer.info, None, "said once");
        told.extend(answer.proxies.clone());
    }
    assert!(stream.message().await.expect("no error").is_none(), "that is all");
    told.sort_by(|a, b| a.proxy_id.cmp(&b.proxy_id));
    let [bad, good] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((good.outcome(), good.acknowledged_revision), (Outcome::Acknowledged, revision));
    assert_eq!((bad.outcome(), bad.refused.len(), bad.refused_elsewhere.len()), (Outcome::Refused, 1, 2));
    assert_eq!(bad.refused, [refused("web/10.0.0.2:80")], "only this one is of the revision");
}

#[tokio::test]
async fn who_asks_once_is_told_once_and_nobody_is_told_of_the_future() {
    let server = Server::start();
    let revision = server.register("web", "10.0.0.1:80").await;
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let position = proxy.state().await.position();
    let request = v1::RevisionStatusRequest { revision, once: true };
    let mut admin = server.admin().await;
    let mut stream = admin.revision_status(request).await.expect("a stream").into_inner();
    let only = next(&mut stream).await;
    assert_eq!((outcomes(&only), only.settled), (vec![("edge", Outcome::Pending, 0)], false));
    assert!(stream.message().await.expect("no error").is_none());
    let refusal = admin.revision_status(v1::RevisionStatusRequest { revision: 99, once: true }).await;
    assert_eq!(refusal.expect_err("refused").code(), Code::OutOfRange);
    proxy.ack(position).await;
    assert!(watch(&server, revision).await.message().await.is_ok());
}

#[tokio::test]
async fn without_proxies_there_is_nothing_to_wait_for() {
    let server = Server::start();
    let revision = server.register("web", "10.0.0.1:80").await;
    let only = next(&mut watch(&server, revision).await).await;
    assert!(only.settled && only.proxies.is_empty(), "{only:?}");
}

#[tokio::test]
async fn a_restarted_control_plane_waits_for_those_that_it_knew() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings =
        || weir_control_plane::Config { store: None, data_dir: Some(dir.path().to_owned()), ..config() };
    let server = Server::with(settings());
    server.register("web", "10.0.0.1:80").await;
    let mut stays = Proxy::connect(&server, "stays", None).await;
    let mut drains = Proxy::connect(&server, "drains", None).await;
    let known = stays.follow().await;
    drains.follow().await;
    let state = v1::ProxyState::Draining as i32;
    drains.say(Up::Report(v1::Report { state, ..Default::default() })).await;
    until(&server, |list| list[0].state() == v1::ProxyState::Draining && list[1].revision == known.revision)
        .await;
    drop(drains);
    until(&server, |list| !list[0].connected).await;
    let revision = server.register("web", "10.0.0.2:80").await;
    server.stop();
    server.ended().await.expect("stopped");
    drop(stays);

    let server = Server::with(settings());
    let first = next(&mut watch(&server, revision).await).await;
    assert_eq!(outcomes(&first), [("stays", Outcome::Pending, 0)], "the other one left of its own accord");
    let mut back = Proxy::connect(&server, "stays", Some(known)).await;
    let Some(Down::Delta(delta)) = back.next().await.expect("alive") else { panic!("not a delta") };
    let to = delta.to.expect("a position");
    let mut stream = watch(&server, revision).await;
    back.ack(to).await;
    let mut last = next(&mut stream).await;
    while !last.settled {
        last = next(&mut stream).await;
    }
    assert_eq!(outcomes(&last), [("stays", Outcome::Acknowledged, revision)]);
}

/// Returns when the list of proxies is so.
async fn until(server: &Server, is: impl Fn(&[v1::ProxyInfo]) -> bool) {
    loop {
        let list = server.admin().await.list_proxies(v1::ListProxiesRequest {}).await.expect("a list");
        if is(&list.into_inner().proxies) {
            return;
        }
        tokio::task::yield_now().await;
    }
}
