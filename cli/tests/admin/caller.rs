//! Every call says who calls.

use weir_proto::v1;

use crate::fake::Fake;

#[tokio::test]
async fn the_user_and_the_host_call_unless_somebody_else_is_named() {
    let status = |_: v1::GetStatusRequest| Ok(v1::GetStatusResponse::default());
    let fake = Fake::default().on(status).listen().await;
    for args in [&["status"][..], &["status", "--as", "release 42"], &["--as", "bob@pc", "status"]] {
        assert_eq!(fake.weir(args).await.code, Some(0), "{args:?}");
    }
    let callers = fake.callers();
    assert!(callers[0].starts_with("alice@") && callers[0].len() > "alice@".len(), "{callers:?}");
    assert_eq!(callers[1..], ["release_42", "bob@pc"]);
}

#[tokio::test]
async fn who_has_no_name_in_the_environment_is_looked_up() {
    let status = |_: v1::GetStatusRequest| Ok(v1::GetStatusResponse::default());
    let fake = Fake::default().on(status).listen().await;
    let mut weir = fake.command(&["status"]);
    assert!(weir.env_remove("USER").env_remove("LOGNAME").status().await.expect("weir runs").success());
    let user = &fake.callers()[0];
    let (name, host) = user.split_once('@').unwrap_or_else(|| panic!("{user}"));
    assert!(!name.is_empty() && !host.is_empty(), "{user}");
}
