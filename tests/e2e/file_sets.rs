//! What belongs to several file sets is exported, applied and pruned as theirs.

use weir_tests::{Backend, Daemons, Port};

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn digest(daemons: &Daemons) -> (u64, u64) {
    let status = daemons.api.status().await.unwrap();
    (status.revision, status.digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_two_file_sets_and_an_operator_changes_nothing_when_it_is_applied() {
    let (a, b, port) = (Backend::start("a").await, Backend::start("b").await, Port::free());
    let (daemons, dir) = (Daemons::start(1).await, tempfile::tempdir().unwrap());
    let shop = format!("services: [{{ name: shop, backends: [ \"{}\" ] }}]\n", a.address());
    let shop = file(&dir, "shop.yaml", &shop);
    let edge = format!("listeners: [{{ name: edge, address: \"{}\" }}]\n", port.address());
    let edge = file(&dir, "edge.yaml", &edge);
    daemons.weir_ok(&["apply", "-f", &shop, "--file-set", "shop"]).await;
    daemons.weir_ok(&["apply", "-f", &edge, "--file-set", "tls"]).await;
    daemons.weir_ok(&["backend", "register", "shop", &b.address().to_string()]).await;
    daemons.weir_ok(&["backend", "register", "hand", &b.address().to_string()]).await;
    let before = digest(&daemons).await;
    for format in ["yaml", "json"] {
        let path = dir.path().join(format!("all.{format}")).to_str().unwrap().to_owned();
        daemons.weir_ok(&["export", "--to", &path, "-o", format]).await;
        let applied = daemons.weir_ok(&["apply", "-f", &path, "--prune"]).await;
        assert!(applied.contains("nothing to change"), "{applied}");
        assert_eq!(digest(&daemons).await, before);
    }
    let all = dir.path().join("all.yaml").to_str().unwrap().to_owned();
    let again = Daemons::start(0).await;
    again.weir_ok(&["apply", "-f", &all]).await;
    let exported = again.weir_ok(&["export"]).await;
    assert_eq!(exported, daemons.weir_ok(&["export"]).await, "elsewhere it makes the same of nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_does_not_delete_a_file_set_unless_that_is_said() {
    let a = Backend::start("a").await;
    let (daemons, dir) = (Daemons::start(0).await, tempfile::tempdir().unwrap());
    let shop = format!("services: [{{ name: shop, backends: [ \"{}\" ] }}]\n", a.address());
    let shop = file(&dir, "shop.yaml", &shop);
    let empty = file(&dir, "empty.yaml", "");
    daemons.weir_ok(&["apply", "-f", &shop]).await;
    let before = digest(&daemons).await;
    for flags in [&["--prune"][..], &["--prune", "--dry-run"]] {
        let output = daemons.weir(&[&["apply", "-f", &empty][..], flags].concat()).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("--allow-empty"), "{flags:?}: {told}");
    }
    assert_eq!(digest(&daemons).await, before);
    let dry = daemons.weir_ok(&["apply", "-f", &empty, "--prune", "--allow-empty", "--dry-run"]).await;
    assert!(dry.contains("would delete service shop"), "{dry}");
    assert!(dry.contains("would delete route default (implicit: nobody declares it)"), "{dry}");
    assert_eq!(digest(&daemons).await, before);
    let done = daemons.weir(&["apply", "-f", &empty, "--prune", "--allow-empty", "--wait"]).await;
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(told.contains("no proxy is connected, so nothing was waited for"), "{told}");
    assert_eq!(daemons.api.status().await.unwrap().services, 0);
}
