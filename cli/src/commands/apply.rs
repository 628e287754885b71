//! `weir apply`: declares what files say.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use weir_proto::{ObjectKind, v1};

use crate::{
    Error, Exit,
    client::Client,
    commands::{Global, wait},
    document::{self, Documents, Problem},
    output::{self, Output},
};

/// What to apply, and how.
#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    declared: Declared,

    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,

    /// Apply only if this is the current revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,

    /// Why, for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,

    /// Return when every live proxy has acknowledged it: serves it, or refused a part of it
    #[arg(long)]
    wait: bool,
}

/// What `apply` and `diff` have in common.
#[derive(Debug, Args)]
pub(super) struct Declared {
    /// Files or directories in YAML or JSON; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    pub(super) paths: Vec<PathBuf>,

    /// The name under which the files own what they declare, unless they say it themselves: `file_set: NAME`
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) file_set: String,

    /// Delete what the same file set declared earlier and no longer does
    #[arg(long)]
    pub(super) prune: bool,

    /// With --prune: delete all that a file set declared, if the files declare nothing of it any more
    #[arg(long, requires = "prune")]
    pub(super) allow_empty: bool,

    /// Take over what belongs to somebody else
    #[arg(long)]
    pub(super) force: bool,
}

/// Applies; `only` refuses files that declare other kinds.
pub(super) async fn run(global: &Global, apply: &Apply, only: Option<ObjectKind>) -> Result<Exit, Error> {
    let documents = document::load(&apply.declared.paths)?;
    if let Some(kind) = only {
        refuse_others(&documents, kind)?;
    }
    let client = global.connect_to(apply.wait).await?;
    let request = v1::ApplyRequest {
        dry_run: apply.dry_run,
        if_revision: apply.if_revision,
        message: apply.message.clone(),
        ..request(&apply.declared, &documents)
    };
    let response = send(&client, &documents, request).await?;
    let v1::ApplyResponse { revision, changes, warnings } = response;
    let changed = Changed { revision, dry_run: apply.dry_run, changes: &changes, warnings: &warnings };
    changed.show(&client, global.output(), apply.wait).await?;
    Ok(Exit::Ok)
}

/// The request without the flags that are `apply`'s own.
pub(super) fn request(declared: &Declared, documents: &Documents) -> v1::ApplyRequest {
    v1::ApplyRequest {
        documents: documents.wire.clone(),
        file_set: declared.file_set.clone(),
        prune: declared.prune,
        force: declared.force,
        allow_empty: declared.allow_empty,
        ..Default::default()
    }
}

/// The answer; a refusal of the control plane's is brought back to its place in the files.
pub(super) async fn send(
    client: &Client,
    documents: &Documents,
    request: v1::ApplyRequest,
) -> Result<v1::ApplyResponse, Error> {
    let mut admin = client.admin();
    let response = client.call(admin.apply(request)).await;
    response.map_err(|e| match e {
        Error::Invalid(problems) => {
            Error::Invalid(problems.iter().map(|p| documents.problem(p.field(), p.reason())).collect())
        }
        Error::Conflict(reason) => match documents.placed(&reason) {
            Some(problem) => Error::InFile { what: "nothing was applied", problem, exit: Exit::Conflict },
            None => Error::Conflict(format!("nothing was applied: {reason}")),
        },
        Error::Denied(reason) => match documents.placed(&reason) {
            Some(problem) => Error::InFile { what: "not allowed", problem, exit: Exit::Failed },
            None => Error::Denied(reason),
        },
        other => other,
    })
}

/// What `apply` or `rollback` changed, or would.
pub(super) struct Changed<'a> {
    pub(super) revision: u64,
    pub(super) dry_run: bool,
    pub(super) changes: &'a [v1::Change],
    pub(super) warnings: &'a [String],
}

impl Changed<'_> {
    /// Prints it, and with `wait` what becomes of it on the proxies.
    pub(super) async fn show(&self, client: &Client, output: Output, wait: bool) -> Result<(), Error> {
        for warning in self.warnings {
            output::note(&format!("warning: {warning}"));
        }
        let value = json!({
            "revision": self.revision,
            "dry_run": self.dry_run,
            "changes": self.changes.iter().map(output::change).collect::<Vec<_>>(),
            "warnings": self.warnings,
        });
        wait::show(client, output, wait, self.revision, value, || self.people()).await
    }

    fn people(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut unchanged = 0;
        for change in self.changes {
            if matches!(change.kind(), v1::ChangeKind::Unchanged | v1::ChangeKind::Unspecified) {
                unchanged += 1;
                continue;
            }
            let object = change.object.as_ref().map(output::reference).unwrap_or_default();
            let differences = output::differences(change.before.as_ref(), change.after.as_ref());
            let became = if self.dry_run { output::would_become } else { output::became };
            let implicit = if output::is_implicit(change) { " (implicit: nobody declares it)" } else { "" };
            lines.push(format!("{}{implicit}", became(change.kind(), &object, &differences)));
        }
        let revision = self.revision;
        lines.push(match (lines.len(), self.dry_run) {
            (0, _) => format!("nothing to change in revision {revision}; {unchanged} unchanged"),
            (n, true) => format!("would change {n} of revision {revision}; {unchanged} unchanged"),
            (n, false) => format!("revision {revision}: {n} changed, {unchanged} unchanged"),
        });
        lines
    }
}

fn refuse_others(documents: &Documents, kind: ObjectKind) -> Result<(), Error> {
    let mut problems: Vec<Problem> = Vec::new();
    for (d, document) in documents.wire.iter().enumerate() {
        let sections = [
            (ObjectKind::Listener, document.listeners.len()),
            (ObjectKind::Service, document.services.len()),
            (ObjectKind::Route, document.routes.len()),
        ];
        for (section, count) in sections {
            if section != kind && count > 0 {
                let path = format!("documents[{d}].{}s", section.as_str());
                let reason = format!(
                    "`weir {0} apply` takes {0}s only; use `weir apply` for files with other sections",
                    kind.as_str()
                );
                problems.push(documents.problem(&path, &reason));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
}
