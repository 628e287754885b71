//! Files that cannot be used: the object that names them is refused by its name, and all others stand.

use super::stage::{Stage, told};

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_refused_by_their_object_and_the_rest_goes_on() {
    let stage = Stage::start().await;
    let good = stage.files("one", &["one.example"]);
    let other = stage.files("other", &["one.example"]);
    let mixed = crate::authority::Files { certificate: good.certificate.clone(), key: other.key.clone() };
    let missing = stage.path().join("missing.pem");
    let (here, web) = (stage.free(), stage.backend.address());
    let output = stage
        .apply(&format!(
            "listeners:\n  \
             - {{ name: good, address: \"{here}\", tls: {{ certificates: [ {} ] }} }}\n  \
             - {{ name: absent, address: \"{}\", tls: {{ certificates: [ {{ certificate: {}, private_key: {} }} ] }} }}\n  \
             - {{ name: mixed, address: \"{}\", tls: {{ certificates: [ {} ] }} }}\n\
             services:\n  \
             - {{ name: web, backends: [ \"{web}\" ] }}\n  \
             - {{ name: strict, backends: [ \"{web}\" ], tls: {{ ca: {} }} }}\n\
             routes:\n  - {{ match: {{}}, services: [ {{ name: web }} ] }}\n",
            good.yaml(),
            stage.free(),
            missing.display(),
            good.key.display(),
            stage.free(),
            mixed.yaml(),
            missing.display(),
        ))
        .await;
    let text = told(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("listener absent") && text.contains("missing.pem"), "{text}");
    let fleet = stage.daemons.api.proxies().await.unwrap();
    let refused = &fleet.proxies[0].refused;
    let mut told: Vec<_> =
        refused.iter().map(|r| (r.object.clone().unwrap().name, r.reason.as_str())).collect();
    told.sort();
    let reasons =
        ["missing.pem: no such file", "does not match the certificate", "missing.pem: no such file"];
    for ((name, reason), expected) in told.iter().zip(["absent", "mixed", "strict"].iter().zip(reasons)) {
        assert!(name == expected.0 && reason.contains(expected.1), "{told:?}");
    }
    assert_eq!(told.len(), 3, "{told:?}");

    let output = stage.curl(here, "one.example", &[]).await;
    assert!(output.status.success(), "{}", super::stage::told(&output));
}
