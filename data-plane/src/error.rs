//! Why a proxy cannot start or go on. Each text says what to do next.

use std::{io, net::SocketAddr, path::PathBuf};

/// What ends a proxy. Nothing that a client, a backend or the control plane does is among it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be bound. The operator's to mend: another address, or another process's end.
    #[error("cannot listen on {address}: {}; {}", words(.source), advice(.source, .flag))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that chooses another.
        flag: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The data directory cannot be used. The operator's to mend.
    #[error(
        "cannot use the data directory {path}: {source}; check it and its permissions, or choose another with --data-dir"
    )]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// Another process holds the data directory.
    #[error("the data directory {path} is used by another proxy; give each its own with --data-dir")]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
    },

    /// The kept name is not one.
    #[error("{path} does not hold a proxy's name: {reason}; remove the file, and a new name is made")]
    IdFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        reason: String,
    },

    /// A setting has a value that cannot be.
    #[error("{name}: {reason}")]
    Setting {
        /// The flag.
        name: &'static str,
        /// What would be right.
        reason: String,
    },

    /// The access log cannot be opened. The operator's to mend.
    #[error("cannot open the access log {target}: {source}; choose another with --access-log")]
    AccessLog {
        /// The file.
        target: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The system gives no more threads, descriptors or signals.
    #[error("cannot start {what}: {source}; check the limits of this process (ulimit -a)")]
    Start {
        /// What was to start.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn words(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no such address on this host".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => source.to_string(),
    }
}

fn advice(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!("stop the other process or choose another with {flag}"),
        io::ErrorKind::PermissionDenied => {
            format!("choose a port above 1023 with {flag}, or give the process CAP_NET_BIND_SERVICE")
        }
        io::ErrorKind::AddrNotAvailable => format!("choose one that it has with {flag}"),
        _ => format!("choose another address with {flag}"),
    }
}
