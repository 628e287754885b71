//! A proxy starts from the copy on its disk, and from nothing if the copy is damaged.

use std::{fs, path::PathBuf};

use weir_tests::{Backend, Daemons, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_copy_is_set_aside_and_told() {
    let backend = Backend::start("a").await;
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    daemons.copied(0, backend.address()).await;
    daemons.control_plane.kill().await;
    daemons.proxies[0].kill().await;
    let copy = daemons.proxy_dir(0).join("last-good.bin");
    let whole = fs::read(&copy).unwrap();
    fs::write(&copy, &whole[..whole.len() - 7]).unwrap();

    daemons.restart_proxy(0).await;
    daemons.proxies[0].line("last-good.bin").await;
    let response = get(daemons.traffic[0], "/").await.unwrap();
    assert_eq!(response.status(), 503, "{}", response.text());
    assert!(response.head.get("retry-after").is_some());
    let aside = PathBuf::from(format!("{}.bad", copy.display()));
    let aside = if aside.exists() { aside } else { copy.with_extension("bad") };
    assert_eq!(fs::read(aside).unwrap().len(), whole.len() - 7);

    daemons.restart_control_plane().await;
    until("traffic", async || (get(daemons.traffic[0], "/").await.ok()?.status() == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_keeps_its_name_and_follows_on_after_a_sudden_death() {
    let backend = Backend::start("a").await;
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", backend.address()).await.unwrap();
    let revision = daemons.api.settled(1).await;
    daemons.copied(0, backend.address()).await;

    for _ in 0..3 {
        daemons.proxies[0].kill().await;
        daemons.restart_proxy(0).await;
        assert_eq!(get(daemons.traffic[0], "/").await.unwrap().text(), "a", "from the first moment on");
        daemons.api.acknowledged(revision, 1).await;
    }
    let fleet = daemons.api.proxies().await.unwrap();
    assert_eq!(fleet.proxies.len(), 1);
    assert_eq!(fleet.proxies[0].digest, fleet.digest);
}
