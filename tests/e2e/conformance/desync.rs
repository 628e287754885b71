//! A corpus of requests that proxies and backends have read differently (`tests/conformance/desync`). What it calls
//! severe reaches no backend; what it calls compliant is relayed, unless one of our stricter rules says otherwise.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::stage::{Stage, told};

/// What the corpus calls compliant and we refuse all the same, and the rule.
const STRICTER: [(&str, &[u16], &str); 10] = [
    ("Different Transfer-Encoding headers", &[400], REPEATED),
    ("Different Transfer-Encoding headers combined", &[400, 501], CODING),
    ("Transfer-Encoding with a param: chunked;custom_param", &[400], REPEATED),
    ("Correct TE OK", &[501], CODING),
    ("Transfer-Encoding: identity and chunked OK", &[501], CODING),
    ("Multiple transfer encoding headers in a single request OK", &[400], REPEATED),
    ("TE with custom parameters OK", &[400], REPEATED),
    ("Compliant URL", &[400], "a fragment is no part of a target (RFC 9112 section 3.2)"),
    ("International in URI", &[400], "a target is ASCII (RFC 3986 section 2)"),
    ("Empty URI", &[400], "a target is not empty (RFC 9112 section 3.2)"),
];
const REPEATED: &str = "Transfer-Encoding is said once";
const CODING: &str = "chunked is the only transfer coding that is served";

/// No more of a body is sent, whatever length is declared.
const LARGEST: usize = 8 << 20;

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    uri: String,
    method: String,
    version: String,
    headers: Option<Vec<Field>>,
    expected: Expected,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Expected {
    tier: String,
    reason: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_severe_passes_and_all_that_is_compliant_does() {
    let mut stage = Stage::start().await;
    let mut table: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for case in cases() {
        stage.backend.forget();
        let mut client = stage.client().await;
        let sent = client.wire.send(case.request()).await;
        let response = client.response(&case.method).await.unwrap_or_default();
        let status = response.status();
        let reached =
            stage.backend.seen().iter().any(|seen| !seen.complete.is_empty() || !seen.rest.is_empty());
        let outcome = if reached { "relayed".to_owned() } else { status.to_string() };
        let row = (case.expected.tier.clone(), case.expected.reason.clone(), outcome.clone());
        *table.entry(row).or_default() += 1;

        let what = format!("{}: {}", case.expected.tier, case.name);
        let got = format!("{outcome}; {}, sent: {sent:?}", told(&response));
        let stricter = STRICTER.iter().find(|(name, ..)| *name == case.name);
        match (case.expected.tier.as_str(), stricter) {
            ("Severe", _) => {
                let refused = (400..=599).contains(&status) && !reached && client.ends().await;
                stage.check(refused, || format!("{what}: {got}"));
            }
            ("Compliant", Some((_, expected, rule))) => {
                let refused = expected.contains(&status) && !reached;
                stage.check(refused, || format!("{what}: {got}, though {rule}"));
            }
            ("Compliant", None) => {
                let relayed = status == 200 && (case.method == "HEAD" || response.text() == "ok");
                stage.check(relayed, || format!("{what}: {got}"));
            }
            _ => {}
        }
    }
    println!("{:<12} {:<36} {:<8} cases", "tier", "reason", "outcome");
    for ((tier, reason, outcome), count) in &table {
        println!("{tier:<12} {reason:<36} {outcome:<8} {count}");
    }
    stage.end();
}

impl Case {
    /// As the corpus means it, with a `Host` and, where a length is declared, a body of that length.
    fn request(&self) -> Vec<u8> {
        let version = if self.version.is_empty() { String::new() } else { format!(" {}", self.version) };
        let fields = self.headers.as_deref().unwrap_or_default();
        let mut request = format!("{} {}{version}\r\n", self.method, self.uri);
        if !fields.iter().any(|field| field.name.eq_ignore_ascii_case("host")) {
            request += "Host: web\r\n";
        }
        let mut body = String::new();
        for Field { name, value } in fields {
            request.extend([name, ": ", value, "\r\n"]);
            if name.eq_ignore_ascii_case("content-length") {
                body = "x".repeat(value.trim().parse().unwrap_or(0).min(LARGEST));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                "0\r\n\r\n".clone_into(&mut body);
            }
        }
        (request + "\r\n" + &body).into_bytes()
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/desync");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let some: Vec<Case> =
                serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            cases.extend(some);
        }
    }
    assert!(cases.len() > 150, "only {} cases", cases.len());
    cases
}
