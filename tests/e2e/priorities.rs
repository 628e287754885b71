//! Backends of the next priority are a backup: they get nothing while it is not their turn, and everything when it is.

use weir_tests::{Backend, Daemons, Load, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_backup_takes_over_when_nobody_before_it_is_well_and_gives_back() {
    let (mut a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let backup = Backend::start("backup").await;
    let daemons = Daemons::start(1).await;
    let document = format!(
        "services:
  - name: web
    health_check: {{ tcp: {{}}, interval: 100ms, unhealthy_threshold: 1, healthy_threshold: 1 }}
    outlier_detection: {{ disabled: true }}
    retry_policy: {{ num_retries: 3, min_retries_per_second: 1000 }}
    backends:
      - \"{}\"
      - \"{}\"
      - {{ address: \"{}\", priority: 1 }}
",
        a.address(),
        b.address(),
        backup.address()
    );
    daemons.apply(&document).await;
    let run = async || Load::run(daemons.traffic[0], 4, 200).await;

    let no_backup = async || {
        until("the backup to have nothing", async || {
            let outcome = run().await;
            assert_eq!(outcome.failures, Vec::<String>::new());
            (!outcome.answers.contains_key("backup")).then_some(())
        })
        .await;
    };

    // Until the others' first probes are answered, it may be the only one that is known to be well.
    no_backup().await;
    let outcome = run().await;
    assert_eq!((outcome.failed, outcome.answers.get("backup")), (0, None), "{outcome:?}");

    a.stop().await;
    b.stop().await;
    until("the backup to have everything", async || {
        let outcome = run().await;
        assert_eq!(outcome.failures, Vec::<String>::new());
        (outcome.answers.get("backup") == Some(&200)).then_some(())
    })
    .await;

    a.restart().await;
    b.restart().await;
    no_backup().await;
}
