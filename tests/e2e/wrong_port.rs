//! Two ports are mixed up, or two settings: whoever did it is told what was found, and what is meant.

use std::net::SocketAddr;

use weir_tests::{Backend, Daemons, Process, Signal, get};

/// Each wrong port of the stage, with what has to be said of it.
async fn wrong_ports(daemons: &Daemons) -> [(SocketAddr, &'static str); 3] {
    [
        (daemons.control_plane.address("admin").await, "that is the admin page of a control plane"),
        (daemons.proxies[0].address("admin").await, "that is the admin page of a proxy"),
        (daemons.traffic[0], "that is where a proxy takes traffic"),
    ]
}

async fn stage() -> (Daemons, Backend) {
    let (backend, daemons) = (Backend::start("web").await, Daemons::start(1).await);
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    (daemons, backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_says_what_it_found_and_is_never_connected_to_it() {
    let (daemons, _backend) = stage().await;
    for (address, found) in wrong_ports(&daemons).await {
        let mut command = Process::command("weir-data-plane");
        command.args(["--control-plane", &format!("http://{address}"), "--listen", "127.0.0.1:0"]);
        command.args(["--admin", "127.0.0.1:0", "--workers", "1"]);
        let proxy = Process::spawn(command);
        let line = proxy.line("no stream from the control plane").await;
        assert!(line.contains(found) && line.contains("7400"), "{line}");
        let said = proxy.output();
        assert!(!said.contains("connected to the control plane"), "{said}");
        let page = get(proxy.address("admin").await, "/metrics").await.unwrap().text();
        assert!(page.contains("weir_proxy_control_plane_connected 0"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_says_what_it_found_and_which_port_is_meant() {
    let (daemons, _backend) = stage().await;
    for (address, found) in wrong_ports(&daemons).await {
        let output = daemons.weir(&["--control-plane", &format!("http://{address}"), "status"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{said}");
        let expected = format!("there is no control plane at http://{address}: {found}");
        assert!(said.contains(&expected) && said.contains("7400"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_at_the_grpc_port_gets_a_sentence() {
    let (daemons, _backend) = stage().await;
    let answer = get(daemons.grpc(), "/").await.unwrap();
    assert_eq!(answer.status(), 400);
    let text = answer.text();
    assert!(
        text.contains("this is the gRPC port of a Weir control plane") && text.contains("7401"),
        "{text}"
    );
    daemons.api.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_takes_the_first_control_plane_of_a_list_that_it_reaches() {
    let (daemons, _backend) = stage().await;
    let list = format!("http://127.0.0.1:1,http://{}", daemons.grpc());
    daemons.weir_ok(&["--control-plane", &list, "backend", "list"]).await;
    let output = daemons.weir(&["--control-plane", "http://127.0.0.1:1,http://127.0.0.1:2", "status"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("http://127.0.0.1:1 or http://127.0.0.1:2"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_with_a_name_that_was_shared_go_on_to_work_and_warn() {
    for (program, listens, daemon) in
        [("weir-control-plane", "grpc", "CONTROL_PLANE"), ("weir-data-plane", "traffic", "PROXY")]
    {
        let command = || {
            let mut command = Process::command(program);
            if daemon == "CONTROL_PLANE" {
                command.env("WEIR_STORE", "memory");
            } else {
                command.env("WEIR_CONTROL_PLANE", "http://127.0.0.1:1").env("WEIR_LAME_DUCK", "0s");
            }
            command
        };
        let mut old = command();
        old.env("WEIR_LISTEN", "127.0.0.1:0").env("WEIR_ADMIN", "127.0.0.1:0");
        let mut process = Process::spawn(old);
        assert_ne!(process.address(listens).await, process.address("admin").await);
        process.line(&format!("WEIR_LISTEN is called WEIR_{daemon}_LISTEN now")).await;
        process.line(&format!("WEIR_ADMIN is called WEIR_{daemon}_ADMIN now")).await;
        process.signal(Signal::TERM);
        process.exit().await;

        let mut new = command();
        new.env(format!("WEIR_{daemon}_LISTEN"), "127.0.0.1:0")
            .env(format!("WEIR_{daemon}_ADMIN"), "127.0.0.1:0");
        // The other daemon's.
        new.env("WEIR_LISTEN", "192.0.2.1:1").env("WEIR_ADMIN", "192.0.2.1:2");
        let mut process = Process::spawn(new);
        assert_ne!(process.address(listens).await, process.address("admin").await);
        process.signal(Signal::TERM);
        process.exit().await;
        assert!(!process.output().contains("is called"), "{}", process.output());
    }
}
