//! The three programs, each a process of its own: from a registration to the first answer.

use weir_tests::{Backend, Client, Daemons, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_by_the_cli_brings_traffic_through_every_proxy() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;

    daemons.weir_ok(&["backend", "register", "web", &a.address().to_string()]).await;
    daemons.weir_ok(&["backend", "register", "web", &b.address().to_string()]).await;
    daemons.api.settled(2).await;
    for traffic in &daemons.traffic {
        let mut client = Client::open(*traffic).await.unwrap();
        let mut answers = [client.get("/").await.unwrap().text(), client.get("/").await.unwrap().text()];
        answers.sort();
        assert_eq!(answers, ["a", "b"]);
    }

    daemons.weir_ok(&["backend", "deregister", &format!("web/{}", a.address())]).await;
    daemons.api.settled(2).await;
    for traffic in &daemons.traffic {
        assert_eq!(get(*traffic, "/").await.unwrap().text(), "b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_and_every_proxy_serves_it() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.yaml");
    let text = format!(
        "services:\n  - name: shop\n    backends: [ \"{}\" ]\n  - name: checkout\n    backends:\n      \
         - {{ address: \"{}\", weight: 2, zone: b }}\n    timeouts: {{ request: 5s }}\nroutes:\n  \
         - match: {{ host: shop.example, path_prefix: /checkout }}\n    service: checkout\n  \
         - match: {{ host: shop.example }}\n    services: [ {{ name: shop, weight: 95 }} ]\n",
        a.address(),
        b.address()
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();

    daemons.weir_ok(&["validate", "-f", file]).await;
    daemons.weir_ok(&["apply", "-f", file, "--wait"]).await;
    for traffic in &daemons.traffic {
        for (path, expected) in [("/", "a"), ("/checkout/now", "b")] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
            let response = Client::open(*traffic).await.unwrap().send("GET", request).await.unwrap();
            assert_eq!(response.text(), expected);
        }
        // No declared route takes it: it goes to one of the two by the implicit route, and stays there.
        assert_eq!(get(*traffic, "/").await.unwrap().text(), "b");
    }

    let before = daemons.api.status().await.unwrap().revision;
    daemons.weir_ok(&["apply", "-f", file]).await;
    assert_eq!(daemons.api.status().await.unwrap().revision, before, "the same again changes nothing");
}
