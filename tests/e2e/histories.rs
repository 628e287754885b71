//! Stores that are not what proxies knew: replaced by an empty one, or copied back. It is said wherever operators look,
//! nothing is taken over by itself, one command settles it, and no request fails meanwhile.

use std::{fs, path::Path, time::Duration};

use weir_tests::{Backend, Daemons, Load, get, until};

const PAUSE: Duration = Duration::from_millis(2);
/// Longer than any answer of a test may take.
const SOON: &str = "20s";

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_store_is_said_wherever_operators_look_until_one_accepts_it() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut daemons = Daemons::start(2).await;
    daemons.serve("web", &[], &[a.address(), b.address()]).await;
    let load = Load::start(daemons.traffic[0], 2, PAUSE);
    daemons.control_plane.kill().await;
    fs::remove_dir_all(daemons.store_dir()).unwrap();
    daemons.restart_control_plane().await;

    let status = kept_out(&daemons, 2).await;
    assert_eq!(status.alarms.len(), 1, "{status:?}");
    let why = "is kept out: it has 0 objects and 0 backends, in force are 4 and 2 of another epoch; likely the store \
               was lost or replaced; if what it has now is meant, run `weir epoch accept`";
    assert!(status.alarms[0].contains(why), "{status:?}");
    shows(&daemons, &["status"], &["kept out proxies", "ALARM", why]).await;
    shows(&daemons, &["proxy", "list"], &["keeps epoch", why]).await;
    shows(&daemons, &["events"], &["state_kept_out", why]).await;
    until("the metric to count both", async || {
        let counted = daemons.metric("weir_control_plane_kept_out_proxies").await;
        ((counted - 2.0).abs() < 0.1).then_some(())
    })
    .await;

    // Whoever waits for a change hears it at once.
    let (code, error) = apply(&daemons, "services: [ { name: shop } ]\n").await;
    assert_eq!(code, Some(3), "{error}");
    assert!(
        error.contains("revision 1 is not served by") && error.contains("`weir epoch accept`"),
        "{error}"
    );
    shows(&daemons, &["status", "1"], &["kept_out", "`weir epoch accept`"]).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());

    says(&daemons, &["epoch", "accept"], &["accepted in revision 2"]).await;
    daemons.api.settled(2).await;
    settled(&daemons).await;
    shows(&daemons, &["events"], &["keeps nothing out any more"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_copied_back_is_never_joined_by_number_and_settled_by_one_command() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let lost = Backend::start("lost").await;
    let mut daemons = Daemons::start(2).await;
    daemons.serve("web", &[], &[one.address(), two.address()]).await;
    let load = Load::start(daemons.traffic[0], 2, PAUSE);
    daemons.control_plane.kill().await;
    let copy = tempfile::tempdir().unwrap();
    duplicate(&daemons.store_dir(), copy.path());
    daemons.restart_control_plane().await;
    daemons.serve("web", &[], &[lost.address()]).await;
    daemons.copied(1, lost.address()).await;
    let newest = daemons.api.status().await.unwrap();

    daemons.control_plane.kill().await;
    fs::remove_dir_all(daemons.store_dir()).unwrap();
    duplicate(copy.path(), &daemons.store_dir());
    daemons.restart_control_plane().await;
    let status = kept_out(&daemons, 2).await;
    assert_eq!((status.epoch, status.revision), (newest.epoch, newest.revision - 1));
    let why = "the store is behind: its newest revision was";
    assert!(status.alarms[0].contains(why), "{status:?}");
    shows(&daemons, &["status"], &["ALARM", why, "likely its directory was copied back"]).await;
    shows(&daemons, &["proxy", "list"], &["ahead of the store", why]).await;
    shows(&daemons, &["events"], &["state_kept_out", why]).await;

    // The numbers catch up and pass by; also a proxy that starts from its copy takes nothing of that.
    let (new, newer) = (Backend::start("new").await, Backend::start("newer").await);
    let (code, error) = apply(&daemons, &web(&new)).await;
    assert_eq!(code, Some(3), "{error}");
    daemons.api.register("web", newer.address()).await.unwrap();
    shows(&daemons, &["proxy", "list"], &["other history", "the store has another history of this epoch"])
        .await;
    let former = proxy(&daemons).await.expect("proxy-1 is known").connected_at;
    daemons.proxies[1].kill().await;
    daemons.restart_proxy(1).await;
    until("the new stream, and what it keeps out", async || {
        let proxy = proxy(&daemons).await?;
        (proxy.connected && proxy.connected_at != former && proxy.kept_out.is_some()).then_some(())
    })
    .await;
    kept_out(&daemons, 2).await;
    let seen = lost.requests();
    for traffic in &daemons.traffic {
        for _ in 0..6 {
            assert_eq!(get(*traffic, "/").await.unwrap().status(), 200);
        }
    }
    assert_eq!((new.requests(), newer.requests()), (0, 0), "nobody accepted it");
    assert!(lost.requests() > seen, "what was acknowledged is served");

    says(&daemons, &["epoch", "accept"], &["began in revision", "of which proxies have another history"])
        .await;
    daemons.api.settled(2).await;
    settled(&daemons).await;
    until("the new backend to serve", async || {
        get(daemons.traffic[0], "/").await.ok()?;
        (new.requests() > 0).then_some(())
    })
    .await;
    assert_ne!(daemons.api.status().await.unwrap().epoch, newest.epoch);
    // From here on all is as ever.
    let (code, error) = apply(&daemons, &web(&lost)).await;
    assert_eq!(code, Some(0), "{error}");
    let outcome = load.stop().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
}

/// Waits until so many proxies are known to keep out what the store has.
async fn kept_out(daemons: &Daemons, proxies: u64) -> weir_proto::v1::GetStatusResponse {
    until("the proxies to keep it out", async || {
        daemons.api.status().await.ok().filter(|status| status.kept_out_proxies == proxies)
    })
    .await
}

async fn settled(daemons: &Daemons) {
    until("the alarms to be over", async || {
        daemons.api.status().await.ok().filter(|status| status.alarms.is_empty())
    })
    .await;
}

/// The second proxy, as the control plane sees it.
async fn proxy(daemons: &Daemons) -> Option<weir_proto::v1::ProxyInfo> {
    daemons.api.proxies().await.ok()?.proxies.into_iter().find(|proxy| proxy.id == "proxy-1")
}

/// Waits until a command that changes nothing says all of this.
async fn shows(daemons: &Daemons, args: &[&str], wanted: &[&str]) {
    until(&format!("{args:?} to say {wanted:?}"), async || {
        let text = daemons.weir_ok(args).await;
        wanted.iter().all(|wanted| text.contains(wanted)).then_some(())
    })
    .await;
}

async fn says(daemons: &Daemons, args: &[&str], wanted: &[&str]) {
    let text = daemons.weir_ok(args).await;
    for wanted in wanted {
        assert!(text.contains(wanted), "{args:?} does not say {wanted:?}:\n{text}");
    }
}

/// A document with one more backend.
fn web(backend: &Backend) -> String {
    format!("services: [ {{ name: web, backends: [ \"{}\" ] }} ]\n", backend.address())
}

/// How `weir apply --wait` ends, and what it says.
async fn apply(daemons: &Daemons, document: &str) -> (Option<i32>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), document).unwrap();
    let path = file.path().to_str().unwrap();
    let output = daemons.weir(&["apply", "-f", path, "--wait", "--timeout", SOON]).await;
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn duplicate(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
