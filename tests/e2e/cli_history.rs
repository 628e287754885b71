//! Every change is in the history, can be compared and taken back, also after a restart of the control plane.

use serde_json::Value;
use weir_tests::{Backend, Daemons, get, until};

struct Shop {
    daemons: Daemons,
    folder: tempfile::TempDir,
}

impl Shop {
    /// Declares that the shop has these backends; why, and in which revision.
    async fn declare(&self, backends: &[&Backend], why: &str) -> u64 {
        let file = self.folder.path().join("shop.yaml");
        let backends: Vec<_> = backends.iter().map(|b| b.address().to_string()).collect();
        std::fs::write(
            &file,
            serde_json::json!({ "services": [{ "name": "shop", "backends": backends }] }).to_string(),
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let value =
            self.json(&["apply", "-f", file, "--prune", "--wait", "-m", why, "--as", "alice@laptop"]).await;
        value["revision"].as_u64().unwrap()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let output = self.daemons.weir(&[args, &["-o", "json"]].concat()).await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {output:?}"))
    }

    /// Who answers through each proxy.
    async fn answers(&self) -> Vec<String> {
        let mut answers = Vec::new();
        for traffic in &self.daemons.traffic {
            answers.push(get(*traffic, "/").await.unwrap().text());
        }
        answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_known_compared_and_taken_back() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(2).await;
    let mut shop = Shop { daemons, folder: tempfile::tempdir().unwrap() };
    let first = shop.declare(&[&a], "begin").await;
    let second = shop.declare(&[&b], "move").await;
    assert_eq!(shop.answers().await, ["b", "b"]);

    shop.daemons.control_plane.kill().await;
    shop.daemons.restart_control_plane().await;
    let history = shop.json(&["history"]).await;
    let told: Vec<_> = history["revisions"].as_array().unwrap().iter().collect();
    assert_eq!((&told[0]["revision"], &told[1]["revision"]), (&second.into(), &first.into()), "{history}");
    assert_eq!((&told[0]["message"], &told[0]["cause"]), (&"move".into(), &"apply".into()));
    assert_eq!(told[0]["author"]["name"], "alice@laptop");
    let difference = shop.json(&["diff", &first.to_string(), &second.to_string()]).await;
    let changes: Vec<_> = difference["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["change"].as_str(), c["name"].as_str()))
        .collect();
    let name = |backend: &Backend| format!("shop/{}", backend.address());
    assert!(changes.contains(&(Some("deleted"), Some(&name(&a)))), "{difference}");
    assert!(changes.contains(&(Some("created"), Some(&name(&b)))), "{difference}");

    let (first, second) = (first.to_string(), second.to_string());
    shop.daemons.weir_ok(&["rollback", &first, "--dry-run"]).await;
    assert_eq!(shop.answers().await, ["b", "b"]);
    shop.daemons.weir_ok(&["rollback", &first, "--wait", "-m", "b is slow"]).await;
    assert_eq!(shop.answers().await, ["a", "a"]);
    assert_eq!(shop.json(&["diff", &first]).await["changes"], Value::Array(Vec::new()));
    shop.daemons.weir_ok(&["rollback", &second, "--wait"]).await;
    assert_eq!(shop.answers().await, ["b", "b"]);

    for args in [&["events"][..], &["events", "--since", "1h"]] {
        let events = shop.daemons.weir_ok(args).await;
        assert!(events.contains(&format!("backend {}", name(&a))), "{events}");
    }

    let refused = shop.daemons.weir(&["rollback", &first, "--if-revision", &first]).await;
    assert_eq!(refused.status.code(), Some(8));
    let future = shop.daemons.weir(&["rollback", "99999"]).await;
    assert_eq!(future.status.code(), Some(7), "{}", String::from_utf8_lossy(&future.stderr));
    // A refusal is written with the next change, or a moment later.
    until("the audit log to have them", async || {
        let audit = shop.json(&["audit"]).await;
        let records = audit["records"].as_array()?;
        let code =
            |code: &str| records.iter().filter(|r| r["call"] == "Rollback" && r["code"] == code).count();
        ((code("ok"), code("failed_precondition"), code("out_of_range")) == (2, 1, 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_changes_nothing_when_it_is_applied() {
    let daemons = Daemons::start(0).await;
    let folder = tempfile::tempdir().unwrap();
    let (shop, exported) = (folder.path().join("shop.yaml"), folder.path().join("exported.yaml"));
    let text = "listeners: [ { name: web, address: \"127.0.0.1:65001\", limits: { max_headers: 50 } } ]\n\
        services:\n  - { name: shop, lb_policy: random, backends: [ \"10.0.0.5:8080\", { address: \"10.0.0.6:8080\", \
        weight: 2, zone: b } ] }\n  - { name: next, timeouts: { request: 5s } }\nroutes:\n  \
        - { match: { host: shop.example }, services: [ { name: shop, weight: 95 }, { name: next, weight: 5 } ] }\n  \
        - { name: all, match: {}, service: shop }\n";
    std::fs::write(&shop, text).unwrap();
    daemons.weir_ok(&["apply", "-f", shop.to_str().unwrap()]).await;
    daemons.weir_ok(&["backend", "drain", "shop/10.0.0.5:8080"]).await;
    let before = daemons.api.status().await.unwrap().revision;
    let file = exported.to_str().unwrap();
    daemons.weir_ok(&["export", "--to", file]).await;
    daemons.weir_ok(&["diff", "-f", file, "--prune"]).await;
    daemons.weir_ok(&["apply", "-f", file, "--prune"]).await;
    assert_eq!(daemons.api.status().await.unwrap().revision, before);
}
