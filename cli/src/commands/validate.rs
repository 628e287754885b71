//! `weir validate`: checks files without a control plane.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{Error, Exit, commands::Global, document};

/// Which files.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Files or directories in YAML or JSON; - is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

pub(super) fn run(global: &Global, validate: &Validate) -> Result<Exit, Error> {
    let wire = document::load(&validate.files)?.wire;
    let count = |of: fn(&weir_proto::v1::Document) -> usize| wire.iter().map(of).sum::<usize>();
    let (listeners, services) = (count(|d| d.listeners.len()), count(|d| d.services.len()));
    let (backends, routes) = (count(|d| d.backends.len()), count(|d| d.routes.len()));
    let value = json!({
        "valid": true,
        "listeners": listeners,
        "services": services,
        "backends": backends,
        "routes": routes,
    });
    global.output().show(&value, || {
        format!("valid: listeners {listeners}, services {services}, backends {backends}, routes {routes}")
    })?;
    Ok(Exit::Ok)
}
