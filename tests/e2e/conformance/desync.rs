//! A corpus of requests that proxies and backends have read differently (`tests/conformance/desync`). What it calls
//! severe reaches no backend; what it calls compliant is relayed, unless one of our stricter rules says otherwise.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::stage::Stage;

/// What the corpus calls compliant and we refuse all the same, and the rule.
const STRICTER: [(&str, u16, &str); 0] = [];

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
        let got = stage.send(case.request()).await;
        let status = got.response.status();
        let reached =
            stage.backend.seen().iter().any(|seen| !seen.complete.is_empty() || !seen.rest.is_empty());
        let outcome = if reached { "relayed".to_owned() } else { status.to_string() };
        let row = (case.expected.tier.clone(), case.expected.reason.clone(), outcome.clone());
        *table.entry(row).or_default() += 1;

        let what = format!("{}: {}", case.expected.tier, case.name);
        match case.expected.tier.as_str() {
            "Severe" => {
                let refused = (400..=599).contains(&status) && !reached;
                stage.check(refused, || format!("{what}: {outcome}; {}", got.told()));
            }
            "Compliant" => match STRICTER.iter().find(|(name, ..)| *name == case.name) {
                Some((_, expected, _)) => {
                    stage.check(status == *expected, || format!("{what}: {}", got.told()))
                }
                None => stage.check(got.response.text() == "ok", || format!("{what}: {}", got.told())),
            },
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
                body = "x".repeat(value.trim().parse().unwrap_or(0).min(20_000));
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
