//! `weir drain --wait` ends well only when the backend may be stopped, and otherwise says who stands in the way.

use weir_tests::{Backend, Daemons, Signal, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_backend_is_removed_and_hears_nothing_any_more() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;
    for backend in [&a, &b] {
        daemons.weir_ok(&["backend", "register", "web", &backend.address().to_string(), "--wait"]).await;
    }
    let name = format!("web/{}", a.address());
    let text = daemons.weir_ok(&["drain", &name, "--wait"]).await;
    assert!(text.starts_with(&format!("removed {name} in revision ")), "{text}");
    let heard = a.requests();
    for traffic in &daemons.traffic {
        for _ in 0..4 {
            assert_eq!(get(*traffic, "/").await.unwrap().text(), "b");
        }
    }
    assert_eq!(a.requests(), heard);
    let again = daemons.weir(&["drain", &name, "--wait"]).await;
    assert_eq!(again.status.code(), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_answer_is_named_and_the_backend_stays() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;
    for backend in [&a, &b] {
        daemons.weir_ok(&["backend", "register", "web", &backend.address().to_string(), "--wait"]).await;
    }
    let name = format!("web/{}", a.address());
    daemons.proxies[1].signal(Signal::STOP);
    let output = daemons.weir(&["drain", &name, "--wait", "--timeout", "6s"]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{error}");
    let last = error.lines().last().unwrap();
    assert!(last.contains("proxy-1") && last.contains(&format!("`weir backend enable {name}`")), "{error}");
    assert!(!last.contains("proxy-0"), "{error}");

    daemons.proxies[1].signal(Signal::CONT);
    daemons.weir_ok(&["backend", "enable", &name, "--wait"]).await;
    for traffic in &daemons.traffic {
        until("it to be used again", async || (get(*traffic, "/").await.ok()?.text() == "a").then_some(()))
            .await;
    }
    daemons.weir_ok(&["drain", &name, "--wait"]).await;
}
