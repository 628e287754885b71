//! Why a command failed: one enum, each with its exit code, each text with what to do next.

use std::io;

use crate::{Exit, document::Problem, output::Lines};

/// How many problems of files are shown.
const MAX_PROBLEMS: usize = 20;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No connection to the control plane.
    #[error(
        "cannot reach the control plane at {url}: {reason}; is it running? set --control-plane or \
         WEIR_CONTROL_PLANE"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// Something else answers where the control plane should be.
    #[error("there is no control plane at {url}: {found}; set --control-plane or WEIR_CONTROL_PLANE")]
    Misdirected {
        /// Where it was looked for.
        url: String,
        /// What is there, and what is meant.
        found: &'static str,
    },
    /// The control plane answers that it cannot now.
    #[error("the control plane at {url} is not available: {reason}")]
    Unavailable {
        /// Where it is.
        url: String,
        /// What it says, and whether to try again.
        reason: String,
    },
    /// Files, or fields of a request, are not valid.
    #[error("{}", problems(.0))]
    Invalid(Vec<Problem>),
    /// The control plane refuses what a file says.
    #[error("{what}: {}", problem.summary())]
    InFile {
        /// In a word or two.
        what: &'static str,
        /// What is refused, where, and why.
        problem: Box<Problem>,
        /// How the program ends with it.
        exit: Exit,
    },
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else's, or changed meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// Not allowed, whoever asks.
    #[error("not allowed: {0}")]
    Denied(String),
    /// The time was up.
    #[error("{0}")]
    Timeout(String),
    /// A proxy could not realise what was applied, or keeps it out.
    #[error("{0}")]
    RefusedByProxy(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// A daemon inside `weir dev` failed.
    #[error("{0}")]
    Daemon(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody reads the output any more: not worth a word.
    #[error("nobody reads the output")]
    BrokenPipe,
}

impl Error {
    /// How the program ends with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable { .. } | Self::Misdirected { .. } | Self::Unavailable { .. } => {
                Exit::Unreachable
            }
            Self::Invalid(_) => Exit::Invalid,
            Self::NotFound(_) => Exit::NotFound,
            Self::Conflict(_) => Exit::Conflict,
            Self::Timeout(_) => Exit::Timeout,
            Self::RefusedByProxy(_) => Exit::RefusedByProxy,
            Self::Failed(_) | Self::Denied(_) | Self::Daemon(_) => Exit::Failed,
            Self::InFile { exit, .. } => *exit,
            Self::BrokenPipe => Exit::Ok,
        }
    }

    /// As people read it.
    pub(crate) fn lines(&self) -> Lines {
        match self {
            Self::Invalid(list) => problems(list),
            Self::InFile { what, problem, .. } => problem.lines().after(&format!("{what}: ")),
            other => other.to_string().into(),
        }
    }
}

impl From<io::Error> for Error {
    /// Of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(format!("cannot write the output: {}", reason(&error))),
        }
    }
}

/// What went wrong, in lower case and without the number that the system gives it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn problems(problems: &[Problem]) -> Lines {
    let shown = problems.iter().take(MAX_PROBLEMS).map(Problem::lines);
    let rest = problems.len().saturating_sub(MAX_PROBLEMS);
    let rest = (rest > 0).then(|| format!("and {rest} more").into());
    shown.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(reason(&error), "no such file or directory");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit(), Exit::Ok);
    }
}
