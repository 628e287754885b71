//! How the program ends.

use std::process::ExitCode;

/// An outcome and its exit code; `weir --help` lists them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Anything that has no code of its own.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// A proxy could not realise what was applied, or keeps it out.
    RefusedByProxy,
    /// The time was up.
    Timeout,
    /// The control plane cannot be reached.
    Unreachable,
    /// A file or a value is not valid, or a file cannot be read.
    Invalid,
    /// There is no such object or revision.
    NotFound,
    /// It belongs to somebody else, is there already, or has changed meanwhile.
    Conflict,
    /// `diff` found differences.
    Different,
    /// The child's own, of `weir run`.
    Child(u8),
}

impl Exit {
    /// The table for `--help`.
    pub(crate) const HELP: &'static str = "\
Exit codes:
  0  done
  1  failed for another reason than those below
  2  the command line makes no sense
  3  a proxy could not realise what was applied, or keeps out what the control plane has
  4  the time was up (--timeout)
  5  the control plane cannot be reached
  6  a file or a value is not valid, or cannot be read
  7  there is no such object or revision
  8  it belongs to somebody else, is there already, or has changed meanwhile
  9  `diff` found differences
`weir run` passes on the exit code of its command; 128 + N if signal N ended it.";

    /// As the operating system sees it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::RefusedByProxy => 3,
            Self::Timeout => 4,
            Self::Unreachable => 5,
            Self::Invalid => 6,
            Self::NotFound => 7,
            Self::Conflict => 8,
            Self::Different => 9,
            Self::Child(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
