//! The Python that has the packages which programs of others need.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The interpreter, in a folder beside the build.
pub(super) fn python() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let mut places = this.ancestors().map(|folder| folder.join("conformance-venv/bin/python"));
    places.find(|python| python.exists()).expect("there is no conformance-venv: ./tests/run makes it")
}

/// A command for one of our scripts, in `tests/conformance/programs`.
pub(super) fn script(name: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/programs").join(name));
    command.kill_on_drop(true);
    command
}
