//! The disk of a proxy has become read-only: it starts from the copy that is there, says so, and goes on without.

use tokio::process::Command;
use weir_tests::{Backend, Daemons, Process, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_serves_from_a_copy_on_a_disk_that_it_cannot_write_and_says_so() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", a.address()).await.unwrap();
    daemons.api.settled(1).await;
    daemons.copied(0, a.address()).await;
    daemons.proxies[0].kill().await;
    daemons.control_plane.kill().await;

    let dir = tempfile::tempdir().unwrap();
    let mut inner = Process::command("weir-data-plane");
    inner.args(["--control-plane", &format!("http://{}", daemons.grpc()), "--id", "proxy-0"]);
    inner.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--data-dir"]);
    inner.arg(dir.path());
    // A file system of its own, that only this process sees; so it needs no rights, where it has none, and holds whoever
    // it runs as.
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs none \"$0\" && cp \"$1\"/last-good.bin \"$0\" && mount -o remount,ro none \"$0\" && shift && \
         exec \"$@\"",
    );
    command.arg(dir.path()).arg(daemons.proxy_dir(0));
    command.arg(inner.as_std().get_program()).args(inner.as_std().get_args());
    let proxy = Process::spawn(command);

    let (traffic, admin) = (proxy.address("traffic").await, proxy.address("admin").await);
    proxy.line("nothing can be written to").await;
    proxy.line("starting from the last good configuration").await;
    assert_eq!(get(traffic, "/").await.unwrap().text(), "a");
    let ready = get(admin, "/readyz").await.unwrap();
    assert_eq!(ready.status(), 200, "{}", ready.text());
    assert!(ready.text().contains("without a copy on disk: nothing can be written to"), "{}", ready.text());
    let page = async |path: &str| get(admin, path).await.unwrap().text();
    assert!(page("/metrics").await.contains("weir_proxy_last_good_failing 1"));
    assert!(page("/config").await.contains("\"copy_failure\": \"nothing can be written to"));

    daemons.restart_control_plane().await;
    daemons.api.register("web", b.address()).await.unwrap();
    daemons.api.settled(1).await;
    until("the new backend to be used", async || (get(traffic, "/").await.ok()?.text() == "b").then_some(()))
        .await;
    proxy.line("after a restart this proxy would serve an older configuration").await;
    assert_eq!(get(admin, "/readyz").await.unwrap().status(), 200);
}
