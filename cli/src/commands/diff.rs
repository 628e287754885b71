//! `weir diff`: what `apply` would change, and what changed between two revisions.

use clap::Args;
use serde_json::{Value, json};
use weir_proto::v1;

use crate::{
    Error, Exit,
    commands::{Global, apply},
    document, output,
};

/// Which files, or which revisions.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with exit code 0 if nothing is different, and with 9 if something is.",
    override_usage = "weir diff [OPTIONS] --file <FILE>...\n       weir diff [OPTIONS] <REVISION> [REVISION]",
    mut_arg("paths", |paths| paths.required(false).required_unless_present("revisions"))
)]
pub(super) struct Diff {
    /// Two revisions, or one and the current one
    #[arg(
        value_name = "REVISION",
        num_args = 1..=2,
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with_all = ["paths", "file_set", "prune", "allow_empty", "force"]
    )]
    revisions: Vec<u64>,
    #[command(flatten)]
    declared: apply::Declared,
}

pub(super) async fn run(global: &Global, diff: &Diff) -> Result<Exit, Error> {
    match diff.revisions.as_slice() {
        [] => from_files(global, diff).await,
        [from, to @ ..] => between(global, *from, to.first().copied().unwrap_or_default()).await,
    }
}

async fn between(global: &Global, from: u64, to: u64) -> Result<Exit, Error> {
    let client = global.connect().await?;
    let mut admin = client.admin();
    let v1::DiffResponse { from, to, changes } =
        client.call(admin.diff(v1::DiffRequest { from, to })).await?;
    let value =
        json!({ "from": from, "to": to, "changes": changes.iter().map(output::change).collect::<Vec<_>>() });
    show(global, &value, &changes.iter().collect::<Vec<_>>(), || {
        format!("no difference between the revisions {from} and {to}")
    })
}

async fn from_files(global: &Global, diff: &Diff) -> Result<Exit, Error> {
    let documents = document::load(&diff.declared.paths)?;
    let client = global.connect().await?;
    let request = v1::ApplyRequest { dry_run: true, ..apply::request(&diff.declared, &documents) };
    let response = apply::send(&client, &documents, request).await?;
    for warning in &response.warnings {
        output::note(&format!("warning: {warning}"));
    }
    let changes: Vec<_> = response.changes.iter().filter(|c| c.kind() != v1::ChangeKind::Unchanged).collect();
    let value = json!({
        "revision": response.revision,
        "changes": changes.iter().copied().map(output::change).collect::<Vec<_>>(),
        "warnings": response.warnings,
    });
    show(global, &value, &changes, || format!("no difference from revision {}", response.revision))
}

fn show(
    global: &Global,
    value: &Value,
    changes: &[&v1::Change],
    none: impl FnOnce() -> String,
) -> Result<Exit, Error> {
    global.output().show(value, || match changes.len() {
        0 => vec![none()],
        _ => changes.iter().copied().flat_map(people).collect(),
    })?;
    Ok(if changes.is_empty() { Exit::Ok } else { Exit::Different })
}

fn people(change: &v1::Change) -> Vec<String> {
    let sign = match change.kind() {
        v1::ChangeKind::Created => '+',
        v1::ChangeKind::Deleted => '-',
        _ => '~',
    };
    let object = change.object.as_ref().map(output::reference).unwrap_or_default();
    let implicit = if output::is_implicit(change) { " (implicit: nobody declares it)" } else { "" };
    let lines = output::differences(change.before.as_ref(), change.after.as_ref());
    let lines = lines.into_iter().map(|line| format!("  {line}"));
    std::iter::once(format!("{sign} {object}{implicit}")).chain(lines).collect()
}
