//! Which files are meant, and their text.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{Error, document::Problem};

/// The longest file that is read: what a control plane takes in one call.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// What is taken out of a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A text and the name that messages call it by.
#[derive(Debug)]
pub(super) struct Source {
    /// As it was given; `<stdin>` for standard input.
    pub(super) name: String,
    /// All of it.
    pub(super) text: String,
}

/// The files in the order in which they were given; those of a directory in the order of their names.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(Source { name: "<stdin>".into(), text: text("<stdin>", io::stdin().lock())? });
        } else if path.is_dir() {
            for file in directory(path)? {
                sources.push(one(&file)?);
            }
        } else {
            sources.push(one(path)?);
        }
    }
    Ok(sources)
}

fn directory(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let name = path.display().to_string();
    let entries = fs::read_dir(path).map_err(|e| unreadable(&name, &e))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| unreadable(&name, &e))?.path();
        let known = file.extension().is_some_and(|x| EXTENSIONS.iter().any(|known| x == *known));
        if known && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(bad(&format!("{name} holds no file that ends with .yaml, .yml or .json")));
    }
    files.sort();
    Ok(files)
}

fn one(path: &Path) -> Result<Source, Error> {
    let name = path.display().to_string();
    let file = fs::File::open(path).map_err(|e| unreadable(&name, &e))?;
    Ok(Source { text: text(&name, file)?, name })
}

fn text(name: &str, reader: impl Read) -> Result<String, Error> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(name, &e))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(bad(&format!("{name} is longer than 16 MiB; split it")));
    }
    String::from_utf8(bytes)
        .map_err(|e| bad(&format!("{name} is not UTF-8 text from byte {} on", e.utf8_error().valid_up_to())))
}

fn unreadable(name: &str, error: &io::Error) -> Error {
    bad(&format!("cannot read {name}: {}", crate::error::reason(error)))
}

/// A file that cannot be read is as bad an input as one that says nonsense.
fn bad(reason: &str) -> Error {
    Error::Invalid(vec![Problem::nowhere("", reason)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_files_in_order() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["b.yaml", "a.json", "notes.txt", "c.yml"] {
            fs::write(dir.path().join(name), "{}").expect("written");
        }
        let sources = read(&[dir.path().to_owned()]).expect("readable");
        let names: Vec<_> = sources.iter().map(|s| s.name.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(names, ["a.json", "b.yaml", "c.yml"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = |path: &Path| {
            let error = read(&[path.to_owned()]).expect_err("must fail");
            assert_eq!(error.exit(), crate::Exit::Invalid, "{error}");
            error.to_string()
        };
        assert!(text(dir.path()).contains("holds no file that ends with .yaml"));
        assert!(text(&dir.path().join("x.yaml")).ends_with("x.yaml: no such file or directory"));
        fs::write(dir.path().join("bad.yaml"), b"a: \xff").expect("written");
        assert!(text(dir.path()).ends_with("bad.yaml is not UTF-8 text from byte 3 on"));
    }
}
