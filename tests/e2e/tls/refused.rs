//! Files that cannot be used, and clients that cannot: the object that names the ones is refused by its name, nobody writes
//! into the log at the pace of the others, and all else stands.

use weir_tests::{Signal, Wire};

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

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_ask_for_no_name_at_all_are_no_lines_of_the_log() {
    let mut stage = Stage::start().await;
    let files = stage.files("one", &["one.example"]).yaml();
    let address = stage.listen(&format!("{{ certificates: [ {files} ] }}")).await;
    let before = stage.daemons.proxies[0].output().lines().count();
    for _ in 0..60 {
        let mut wire = Wire::open(address).await.unwrap();
        wire.send(hello("no name")).await.unwrap();
        let (came, _) = wire.to_end().await;
        assert_eq!(came.first(), Some(&0x15), "an alert, as to anybody whose hello cannot be read");
    }
    let proxy = &mut stage.daemons.proxies[0];
    proxy.signal(Signal::TERM);
    proxy.exit().await;
    let output = proxy.output();
    let lines: Vec<_> = output.lines().skip(before).collect();
    assert!(lines.len() < 30, "{} lines, as {:?}", lines.len(), lines.get(..9));
}

/// A `ClientHello` of TLS 1.2 that asks for this name.
fn hello(name: &str) -> Vec<u8> {
    let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let sni = [&[0][..], &length(name.len()), name.as_bytes()].concat();
    let sni = [&[0, 0][..], &length(sni.len() + 2), &length(sni.len()), &sni].concat();
    let one_suite_and_no_compression = [0, 0, 2, 0xc0, 0x2f, 1, 0];
    let body = [&[3, 3][..], &[7; 32], &one_suite_and_no_compression, &length(sni.len()), &sni].concat();
    let handshake = [&[1, 0][..], &length(body.len()), &body].concat();
    [&[0x16, 3, 1][..], &length(handshake.len()), &handshake].concat()
}
