//! What a change takes out of service is said with it.

use weir_proto::v1;

use crate::{
    registry::{Apply, Registry, testing::*},
    snapshot::Object,
};

async fn said(registry: &Registry, wanted: Apply) -> Vec<String> {
    let dry = registry.apply(&me(), Apply { dry_run: true, ..wanted.clone() }).await.expect("ok");
    let done = registry.apply(&me(), wanted).await.expect("ok");
    assert_eq!(dry.warnings, done.warnings, "before and after");
    let keys = |applied: &crate::registry::Applied| -> Vec<_> {
        applied.changes.iter().map(|change| (change.kind, change.key.clone())).collect()
    };
    assert_eq!(keys(&dry), keys(&done));
    done.warnings
}

fn all(objects: impl IntoIterator<Item = Object>) -> Apply {
    Apply { prune: true, allow_empty: true, ..declare("shop", objects) }
}

#[tokio::test]
async fn a_first_listener_says_which_addresses_it_closes_and_one_that_goes_which_it_takes_along() {
    let (registry, _task, _) = start().await;
    let own = [("0.0.0.0:8080".to_owned(), 3), ("10.0.0.1:80".to_owned(), 1)].into();
    let first = Apply { own_addresses: own, ..all([listener("tls", "0.0.0.0:8443")]) };
    let closes = |address: &str, serve: &str| {
        format!(
            "closes the proxies' own address {address} (--listen), which is open only while there is no listener: {serve} \
             there now"
        )
    };
    let expected = [closes("0.0.0.0:8080", "3 proxies serve"), closes("10.0.0.1:80", "1 proxy serves")];
    assert_eq!(said(&registry, first).await, expected);
    let moved = said(&registry, all([listener("tls", "0.0.0.0:9443")])).await;
    assert_eq!(moved, ["0.0.0.0:8443 goes out of service: listener tls moves to 0.0.0.0:9443"]);
    let renamed = said(&registry, all([listener("other", "0.0.0.0:9443")])).await;
    assert_eq!(renamed, [""; 0], "the socket stays");
    let gone = said(&registry, all([])).await;
    let own = "no listener is left: proxies accept on their own addresses (--listen) again";
    assert_eq!(gone, ["0.0.0.0:9443 goes out of service, with the listener other", own]);
    let same = Apply {
        own_addresses: [("0.0.0.0:8080".to_owned(), 1)].into(),
        ..all([listener("web", "0.0.0.0:8080")])
    };
    assert_eq!(said(&registry, same).await, [""; 0], "a listener at that very address closes nothing");
}

#[tokio::test]
async fn a_host_that_is_no_longer_routed_is_said_and_where_its_requests_go() {
    let (registry, _task, _) = start().await;
    let base = || vec![service("shop", 1), service("wild", 1)];
    let with = |routes: Vec<Object>| all([base(), routes].concat());
    let exact = || route("", "a.shop.example", "shop");
    said(&registry, with(vec![exact(), route("", "*.shop.example", "wild")])).await;
    let lost = |host: &str, to: &str| format!("host {host} is no longer routed: its requests {to}");
    let wild = said(&registry, with(vec![route("", "*.shop.example", "wild")])).await;
    assert_eq!(wild, [lost("a.shop.example", "go to route *.shop.example/, to wild")]);
    let implicit = said(&registry, with(vec![])).await;
    assert_eq!(implicit, [lost("*.shop.example", "go to route default, to shop")]);
    said(&registry, with(vec![exact()])).await;
    registry.set_default_route(&me(), false, None).await.expect("ok");
    assert_eq!(said(&registry, with(vec![])).await, [lost("a.shop.example", "are answered 404")]);
}

#[tokio::test]
async fn services_and_backends_that_requests_lose_are_said() {
    let (registry, _task, _) = start().await;
    let shop = || [service("web", 1), Object::backend(backend("web/a"))];
    said(&registry, all(shop().into_iter().chain([service("api", 1)]))).await;
    registry.apply(&me(), declare("other", [route("r", "x.example", "api")])).await.expect("ok");
    let gone = said(&registry, all(shop())).await;
    let named = "route r names the service api, which goes; its share is answered with 503";
    let rest =
        "requests that no other route takes go to route default, to web: they went to route default, to api";
    assert_eq!(gone, [named, rest]);
    let empty = said(&registry, all([service("web", 1)])).await;
    assert_eq!(
        empty,
        ["the service web loses its last backend that takes requests: they are answered with 503"]
    );
}

#[tokio::test]
async fn a_file_set_is_not_emptied_by_accident_and_others_may_be_applied_with_it() {
    let (registry, _task, _) = start().await;
    let set = |name: &str| Some(v1::Owner { kind: v1::OwnerKind::FileSet as i32, name: name.to_owned() });
    let two = || {
        let mut wanted = declare("shop", [service("web", 1), listener("tls", "0.0.0.0:8443")]);
        wanted.declared[1].owner = set("tls");
        wanted.file_sets = ["shop".to_owned(), "tls".to_owned()].into();
        Apply { prune: true, ..wanted }
    };
    registry.apply(&me(), two()).await.expect("ok");
    let position = registry.current().position();
    registry.apply(&me(), two()).await.expect("the same again");
    assert_eq!(registry.current().position(), position);

    let refused = |wanted: Apply| {
        let registry = registry.clone();
        async move { registry.apply(&me(), wanted).await.expect_err("must be refused").to_string() }
    };
    let empty = || Apply { prune: true, ..declare("shop", []) };
    let text = refused(empty()).await;
    assert!(
        text.starts_with("service web: nothing of the file set shop is declared")
            && text.contains("--allow-empty"),
        "{text}"
    );
    let mut one = two();
    one.declared.pop();
    assert!(refused(one).await.contains("nothing of the file set tls is declared"));
    assert_eq!(registry.current().position(), position);
    registry.apply(&me(), Apply { prune: true, ..declare("nobody", []) }).await.expect("nothing to lose");
    registry.apply(&me(), Apply { allow_empty: true, ..empty() }).await.expect("said so");
    assert!(registry.current().get(&object_key("service web")).is_none());
    assert!(registry.current().get(&object_key("listener tls")).is_some());
}
