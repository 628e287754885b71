//! The Python that has the packages which programs of others need.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The interpreter, in a folder beside the build.
pub(super) fn python() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap().to_owned();
    let python = target.join("conformance-venv/bin/python");
    assert!(python.exists(), "{} is missing: ./tests/run makes it", python.display());
    python
}

/// A command for one of our scripts, in `tests/conformance/programs`.
pub(super) fn script(name: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/programs").join(name));
    command.kill_on_drop(true);
    command
}
