//! `weir backup`: a copy of the control plane's store.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use weir_proto::v1;

use crate::{
    Error, Exit,
    client::Client,
    commands::{Global, new_file::NewFile},
    output, units,
};

/// How long it may take by default.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Where to.
#[derive(Debug, Args)]
#[command(after_help = "\
The file holds the configuration at one revision with its history. It is there when it is complete; with --force an \
    older one stays until then. `weir-control-plane restore FILE` makes a store of it.")]
pub(super) struct Backup {
    /// The file to write; - is standard output
    file: PathBuf,
    /// Take the place of a file that is there already
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(global: &Global, backup: &Backup) -> Result<Exit, Error> {
    let path = backup.file.as_path();
    if path == Path::new("-") {
        if output::is_terminal() {
            return Err(Error::Usage(
                "a backup is nothing to look at; name a file, or send the output somewhere".to_owned(),
            ));
        }
        let client = global.connect_for(TIMEOUT).await?;
        let bytes = copy(&client, output::bytes).await?;
        output::note(&format!("wrote {}", units::about(bytes)));
        return Ok(Exit::Ok);
    }
    let client = global.connect_for(TIMEOUT).await?;
    let mut file = NewFile::create(path, backup.force)?;
    copy(&client, |data| file.write(data)).await?;
    let bytes = file.finish()?;
    let value = json!({ "file": path.display().to_string(), "bytes": bytes });
    global.output().show(&value, || format!("wrote {} to {}", units::about(bytes), path.display()))?;
    Ok(Exit::Ok)
}

/// Hands on what comes. OK only when the control plane said that this was all.
async fn copy(client: &Client, mut write: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<u64, Error> {
    let mut admin = client.admin();
    let mut stream = client.call(admin.backup(v1::BackupRequest {})).await?;
    let mut bytes = 0;
    while let Some(chunk) = client.next(&mut stream).await? {
        bytes += chunk.data.len() as u64;
        write(&chunk.data)?;
    }
    if bytes == 0 {
        return Err(Error::Failed(format!(
            "the control plane at {} sent an empty backup; try again",
            client.url()
        )));
    }
    Ok(bytes)
}
