//! A backup that was made while all went on becomes the store again, in a new epoch, and proxies follow it.

use serde_json::Value;
use weir_tests::{Backend, Daemons, Process, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_is_served_again_after_a_restore() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut daemons = Daemons::start(2).await;
    daemons.serve("web", &[], &[a.address()]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.backup");
    let file = file.to_str().unwrap();
    let text = daemons.weir_ok(&["backup", file]).await;
    assert!(text.starts_with("wrote ") && text.ends_with(&format!(" to {file}\n")), "{text}");
    daemons.serve("web", &[], &[b.address()]).await;
    let before = daemons.api.status().await.unwrap();

    daemons.control_plane.kill().await;
    let mut command = Process::command("weir-control-plane");
    command.args(["restore", file, "--force", "--data-dir"]);
    command.arg(daemons.proxy_dir(0).with_file_name("control-plane"));
    let restored = command.output().await.unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    daemons.restart_control_plane().await;

    let after = daemons.api.status().await.unwrap();
    assert_ne!(after.epoch, before.epoch);
    until("the proxies to take the new epoch", async || {
        let fleet = daemons.api.proxies().await.ok()?;
        let there = |p: &&weir_proto::v1::ProxyInfo| p.epoch == after.epoch && p.revision == after.revision;
        (fleet.proxies.iter().filter(there).count() == 2).then_some(())
    })
    .await;
    for traffic in &daemons.traffic {
        for _ in 0..4 {
            assert_eq!(get(*traffic, "/").await.unwrap().text(), "a");
        }
    }
    let history = daemons.weir_ok(&["history", "--all", "-o", "json"]).await;
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["revisions"][0]["cause"], "restore", "{history}");
    assert!(
        history["revisions"].as_array().unwrap().len() > 1,
        "what was before the backup is known: {history}"
    );
}
