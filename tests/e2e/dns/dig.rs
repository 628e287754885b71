//! `dig`, and what it prints.

use std::net::SocketAddr;

use tokio::process::Command;

/// What `dig` printed.
pub(super) struct Dug(pub String);

/// Asks once, and once only; `args` as on the command line.
pub(super) async fn dig(server: SocketAddr, args: &[&str]) -> Dug {
    let mut command = Command::new("dig");
    command
        .env("HOME", "/nonexistent")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string()]);
    command.args(["+tries=1", "+time=10", "+nocookie"]).args(args);
    let output = command.output().await.expect("dig: tests/conformance/setup installs it");
    Dug(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the records of the answer say, in order.
pub(super) async fn short(server: SocketAddr, name: &str, kind: &str) -> Vec<String> {
    let Dug(text) = dig(server, &["+short", name, kind]).await;
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

impl Dug {
    /// `NOERROR` and the like.
    pub(super) fn status(&self) -> &str {
        self.between("status: ", ",")
    }

    /// `qr aa rd` and the like.
    pub(super) fn flags(&self) -> Vec<&str> {
        self.between("flags: ", ";").split(' ').collect()
    }

    /// Bytes of the message.
    pub(super) fn size(&self) -> usize {
        self.between("MSG SIZE  rcvd: ", "\n").parse().unwrap_or_else(|_| panic!("no size:\n{}", self.0))
    }

    /// The records of a section, `ANSWER` and the like, with one space between their fields.
    pub(super) fn section(&self, name: &str) -> Vec<String> {
        let Some((_, rest)) = self.0.split_once(&format!(";; {name} SECTION:\n")) else { return Vec::new() };
        let lines = rest.lines().take_while(|line| !line.is_empty());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn between(&self, before: &str, after: &str) -> &str {
        let found = self.0.split_once(before).and_then(|(_, rest)| Some(rest.split_once(after)?.0));
        found.unwrap_or_else(|| panic!("no {before:?}:\n{}", self.0))
    }
}
