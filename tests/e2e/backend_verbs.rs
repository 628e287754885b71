//! What `weir backend` does and says: registrations, weights, heartbeats.

use std::{collections::BTreeMap, time::Duration};

use weir_proto::v1;
use weir_tests::{Backend, Daemons, Process, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_says_whether_it_created_changed_or_left_alone_what_was_there() {
    let daemons = Daemons::start(0).await;
    let register = async |more: &[&str]| {
        let args = [&["backend", "register", "web", "10.0.0.7:8080"], more].concat();
        daemons.weir_ok(&args).await.trim().to_owned()
    };
    assert_eq!(register(&[]).await, "created backend web/10.0.0.7:8080 in revision 1");
    assert_eq!(register(&[]).await, "unchanged backend web/10.0.0.7:8080, as of revision 1");
    let changed = register(&["--weight", "3", "--zone", "b"]).await;
    assert_eq!(changed, "changed backend web/10.0.0.7:8080 (weight: 1 -> 3, + zone: b) in revision 2");
    // One address, however it is spelled.
    let args = ["backend", "register", "web", "[::ffff:10.0.0.7]:8080", "--weight", "3", "--zone", "b"];
    let mapped = daemons.weir_ok(&args).await;
    assert_eq!(mapped.trim(), "unchanged backend web/10.0.0.7:8080, as of revision 2");
    let args = ["backend", "register", "web", "10.0.0.8:8080", "--id", "a"];
    daemons.weir_ok(&args).await;
    let moved = daemons.weir_ok(&["backend", "register", "web", "10.0.0.9:8080", "--id", "a"]).await;
    assert_eq!(moved.trim(), "changed backend web/a (address: 10.0.0.8:8080 -> 10.0.0.9:8080) in revision 4");
    let leased = ["backend", "register", "web", "10.0.0.10:80", "--ttl", "1m"];
    daemons.weir_ok(&leased).await;
    let longer = ["backend", "register", "web", "10.0.0.10:80", "--ttl", "2m"];
    let changed = daemons.weir_ok(&longer).await;
    assert_eq!(changed.trim(), "changed backend web/10.0.0.10:80 (ttl: 1m -> 2m) in revision 6");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_deregistered_unless_that_is_as_good() {
    let daemons = Daemons::start(0).await;
    let gone = daemons.weir(&["backend", "deregister", "web/none"]).await;
    let error = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert_eq!(gone.status.code(), Some(7), "{error}");
    assert!(error.contains("there is no backend web/none") && error.contains("--if-exists"), "{error}");
    daemons.weir_ok(&["backend", "deregister", "web/none", "--if-exists"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_weight_decides_until_it_is_given_back_whatever_is_registered() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(1).await;
    for backend in [&a, &b] {
        daemons.weir_ok(&["backend", "register", "web", &backend.address().to_string(), "--wait"]).await;
    }
    let (name, address) = (format!("web/{}", a.address()), a.address().to_string());
    let shares = async || {
        let mut shares = BTreeMap::new();
        for _ in 0..40 {
            *shares.entry(get(daemons.traffic[0], "/").await.unwrap().text()).or_insert(0) += 1;
        }
        (shares["a"], shares["b"])
    };
    assert_eq!(shares().await, (20, 20));
    daemons.weir_ok(&["backend", "weight", &name, "3", "--wait"]).await;
    assert_eq!(shares().await, (30, 10));
    let again = daemons.weir_ok(&["backend", "register", "web", &address, "--wait"]).await;
    assert!(again.starts_with("unchanged"), "{again}");
    daemons.weir_ok(&["backend", "register", "web", &address, "--weight", "7", "--wait"]).await;
    assert_eq!(shares().await, (30, 10));
    let list = daemons.weir_ok(&["backend", "list"]).await;
    assert!(list.contains("3 (own 7)"), "{list}");
    daemons.weir_ok(&["backend", "weight", &name, "--reset", "--wait"]).await;
    assert_eq!(shares().await, (35, 5));
    let wrong = daemons.weir(&["backend", "weight", "web/none", "3"]).await;
    assert_eq!(wrong.status.code(), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_from_the_command_line_keeps_a_lease_alive_and_says_when_it_cannot() {
    let daemons = Daemons::start(0).await;
    let register = ["backend", "register", "web", "10.0.0.7:80", "--ttl", "10s"];
    daemons.weir_ok(&register).await;
    let beat = ["backend", "heartbeat", "web/10.0.0.7:80"];
    assert_eq!(daemons.weir_ok(&beat).await.trim(), "renewed the lease of web/10.0.0.7:80");
    // In the foreground, for longer than it would last.
    let mut command = Process::command("weir");
    command
        .env("WEIR_CONTROL_PLANE", format!("http://{}", daemons.grpc()))
        .args(beat)
        .args(["--every", "1s"]);
    let mut beating = Process::spawn(command);
    beating.line("renewing the lease").await;
    let begin = tokio::time::Instant::now();
    until("more than the ttl to pass", async || {
        let backends = daemons.api.backends("web").await.unwrap();
        assert!(backends.iter().all(|b| b.lease_state() == v1::LeaseState::Live), "{backends:?}");
        (begin.elapsed() > Duration::from_secs(12)).then_some(())
    })
    .await;
    // Somebody takes it out: it says so and ends.
    daemons.weir_ok(&["backend", "deregister", "web/10.0.0.7:80"]).await;
    assert_eq!(beating.exit().await.code(), Some(7), "{}", beating.output());
    assert!(beating.output().contains("register it again"), "{}", beating.output());
    for wrong in [&["backend", "heartbeat", "web/10.0.0.7:80"][..], &[&beat[..], &["--lease", "1"]].concat()]
    {
        let output = daemons.weir(wrong).await;
        assert_eq!(output.status.code(), Some(7), "{output:?}");
    }
    daemons.weir_ok(&["backend", "register", "web", "10.0.0.8:80"]).await;
    let fixed = daemons.weir(&["backend", "heartbeat", "web/10.0.0.8:80"]).await;
    let error = String::from_utf8_lossy(&fixed.stderr);
    assert!(fixed.status.code() == Some(7) && error.contains("has no lease"), "{error}");
}
