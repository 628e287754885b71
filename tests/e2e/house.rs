//! The rules of the house that no compiler keeps: who may know what, and how large a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Sources that run for every request. (`counters` and `tls` are not among them: each has something that is made once,
/// and `tls` watches its files; what requests and handshakes ask of them takes no lock.)
const REQUEST_PATH: [&str; 25] = [
    "access_log",
    "admission",
    "alarm",
    "answer",
    "balance",
    "body",
    "buffer",
    "deadline",
    "downstream",
    "endpoint",
    "exchange",
    "grpc",
    "headers",
    "http1",
    "http2",
    "live",
    "message",
    "proxy",
    "reply",
    "retry",
    "router",
    "splice",
    "stream",
    "upgrade",
    "upstream",
];

/// What is compiled for tests only.
const TEST_ONLY: [&str; 5] = ["fuzz", "fuzz.rs", "reference.rs", "tests", "tests.rs"];

/// Words that no source in these places may have outside of comments and tests, and why.
const FORBIDDEN: [(&str, &[&str], &[&str], &str); 7] = [
    (
        "data-plane/src",
        &REQUEST_PATH,
        &["Mutex", "RwLock", "OnceLock", "dashmap"],
        "the request path takes no lock shared between threads",
    ),
    (
        "control-plane/src",
        &["registry", "lease", "snapshot", "store", "publish"],
        &["tonic::", "axum::"],
        "the registry and what it is made of know no wire",
    ),
    (
        "control-plane/src",
        &["rpc"],
        &["store::", "Draft", "rusqlite"],
        "rpc decodes, calls and encodes; it decides and stores nothing",
    ),
    (
        "data-plane/src",
        &["router", "balance", "grpc", "headers", "http1", "http2", "message"],
        &["tokio::net", "tokio::io", "std::net::Tcp", "TcpStream", "Instant", "poll_"],
        "routing, balancing and what messages are made of know neither sockets nor time",
    ),
    (
        "data-plane/src",
        &["proxy", "exchange", "retry"],
        &["h2::", "http1::", "http2::", "rustls", "TcpStream"],
        "what becomes of a request does not depend on the protocol that brought it: that is behind the seams",
    ),
    (
        "data-plane/src",
        &["balance", "body", "http1", "message", "proxy", "reply", "retry", "router", "upstream/http1"],
        &["h2::"],
        "the codec of HTTP/2 is behind the seams, and not in the way of HTTP/1",
    ),
    (
        "cli/src",
        &["agent", "client", "commands", "document", "error", "exit", "lib", "signals", "units", "yaml"],
        &["io::stdout", "io::stderr", " stdout", " stderr", "{stdout", "{stderr", "print!", "println!"],
        "all that is printed goes through output, which shows what others wrote and does not obey it",
    ),
];

#[test]
fn who_knows_what() {
    let mut broken = Vec::new();
    for (crate_sources, rooms, words, why) in FORBIDDEN {
        let crate_sources = root().join(crate_sources);
        for room in rooms {
            let sources = sources_of(&crate_sources, room);
            assert!(!sources.is_empty(), "there is no {room} in {}", crate_sources.display());
            for source in sources {
                let text = code(&source);
                let found = words.iter().filter(|word| text.contains(**word));
                broken.extend(found.map(|word| format!("{} has {word}: {why}", source.display())));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_planes_share_the_contract_and_nothing_else() {
    for (plane, other) in [("control-plane", "weir-data-plane"), ("data-plane", "weir-control-plane")] {
        let manifest = fs::read_to_string(root().join(plane).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("weir-proto") && !manifest.contains(other), "{plane}");
    }
}

/// Its admin page and its stream of configuration bring a library for HTTP along; what serves requests must not.
#[test]
fn requests_pass_through_codecs_of_our_own_choice() {
    let manifest = fs::read_to_string(root().join("data-plane/Cargo.toml")).unwrap();
    let (shipped, tests) = manifest.split_once("[dev-dependencies]").unwrap();
    assert!(tests.contains("\nhyper.") && !shipped.contains("\nhyper") && !shipped.contains("\nhttp-body"));
}

#[test]
fn one_concept_one_file() {
    let crates = ["proto", "control-plane", "data-plane", "cli", "tests"];
    let files: Vec<PathBuf> = crates.iter().flat_map(|c| all_sources(&root().join(c))).collect();
    let mut lines = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("//!"), "{} does not begin with what it is", file.display());
        let count = text.lines().count();
        assert!(count <= 600, "{} has {count} lines: more than one concept?", file.display());
        lines.push(count);
    }
    lines.sort_unstable();
    let (median, most) = (lines[lines.len() / 2], lines[lines.len() * 95 / 100]);
    assert!(median <= 120 && most <= 400, "median {median}, 95 % have at most {most}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `room.rs` and everything in `room/`, without their tests.
fn sources_of(crate_sources: &Path, room: &str) -> Vec<PathBuf> {
    let mut sources = all_sources(&crate_sources.join(room));
    sources.push(crate_sources.join(room).with_extension("rs"));
    sources.retain(|s| s.exists() && !s.iter().any(|part| TEST_ONLY.iter().any(|tests| part == *tests)));
    sources
}

fn all_sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { all_sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs") && !path.starts_with("target"))
        .collect()
}

/// A file's code: without comments, and up to its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
