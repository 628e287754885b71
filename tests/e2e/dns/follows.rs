//! Answers follow what is registered, at once.

use std::collections::HashSet;

use super::dig::{dig, short};
use weir_proto::v1::OperatorState;
use weir_tests::{Backend, Daemons, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_drained_disabled_or_gone_is_in_no_answer_after_the_change_is_acknowledged() {
    let daemons = Daemons::start(0).await;
    let dns = daemons.control_plane.address("dns").await;
    for backend in ["127.0.1.1:80", "127.0.1.2:80", "127.0.1.3:80"] {
        daemons.api.register("web", backend.parse().unwrap()).await.unwrap();
    }
    let answer = async || short(dns, "web.svc.weir", "A").await;
    assert_eq!(answer().await, ["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    daemons.api.operator_state("web/127.0.1.1:80", OperatorState::Draining).await.unwrap();
    assert_eq!(answer().await, ["127.0.1.2", "127.0.1.3"]);
    daemons.api.operator_state("web/127.0.1.2:80", OperatorState::Disabled).await.unwrap();
    assert_eq!(answer().await, ["127.0.1.3"]);
    daemons.api.operator_state("web/127.0.1.1:80", OperatorState::Enabled).await.unwrap();
    assert_eq!(answer().await, ["127.0.1.1", "127.0.1.3"]);
    daemons.api.deregister("web/127.0.1.3:80").await.unwrap();
    assert_eq!(answer().await, ["127.0.1.1"]);

    assert_eq!(short(dns, "weir", "SOA").await[0].split(' ').nth(2), Some("7"), "the revision");
    assert!(daemons.metric("weir_control_plane_dns_answers_total").await >= 6.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_control_plane_answers_for_the_backends_that_it_remembers() {
    let mut daemons = Daemons::start(0).await;
    daemons.api.register("web", "127.0.1.1:80".parse().unwrap()).await.unwrap();
    daemons.control_plane.kill().await;
    daemons.restart_control_plane().await;
    let dns = daemons.control_plane.address("dns").await;
    let told = dig(dns, &["web.svc.weir", "A"]).await;
    assert_eq!(told.section("ANSWER"), ["web.svc.weir. 5 IN A 127.0.1.1"], "{}", told.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_every_proxy_finds_dead_are_left_out_until_nobody_is_left() {
    const CHECK: &str =
        "health_check: { http: {}, interval: 100ms, unhealthy_threshold: 1, healthy_threshold: 1 }";
    let (mut a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;
    let dns = daemons.control_plane.address("dns").await;
    daemons.serve("web", &[CHECK], &[a.address(), b.address()]).await;
    let ports = async || {
        let told = short(dns, "web.svc.weir", "SRV").await;
        told.iter().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect::<HashSet<u16>>()
    };
    let both = HashSet::from([a.address().port(), b.address().port()]);
    assert_eq!(ports().await, both);
    a.stop().await;
    let other = HashSet::from([b.address().port()]);
    until("only the other", async || (ports().await == other).then_some(())).await;
    b.stop().await;
    until("both, as none is better", async || (ports().await == both).then_some(())).await;
}
